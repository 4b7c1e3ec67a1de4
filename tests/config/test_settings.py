"""What a good file means: defaults, profiles, references, and what may be left out."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path

import pytest
from pydantic import ValidationError

from exporter.config import Settings, Window, load
from exporter.config.addresses import Listen
from exporter.domain.model import SECOND_US, NewMessage, Policy, Priority
from tests.config.files import ACCOUNT, check_text

MINUTE_US = 60 * SECOND_US
HOUR_US = 60 * MINUTE_US


def load_text(directory: Path, text: str, environ: Mapping[str, str] | None = None) -> Settings:
    """The settings in a file that has no problems."""
    found = check_text(directory, text, environ)
    assert found.problems == ()
    assert found.settings is not None
    return found.settings


def test_an_account_is_all_that_must_be_written(tmp_path: Path) -> None:
    """Everything else has a default that makes sense, and the features that listen are off."""
    whole = load_text(tmp_path, ACCOUNT)
    (account,) = whole.accounts
    assert (account.requests_per_second, account.max_in_flight, account.timeout) == (10.0, 10, 10 * SECOND_US)
    assert (account.currency, account.ca_file, account.auth.method) == ("UAH", None, "header")
    assert (whole.campaigns, whole.drop, whole.webhook, whole.intake) == ((), (), None, None)
    assert whole.storage.path == Path("/var/lib/smsbat-exporter")
    assert (whole.storage.retention, whole.storage.on_corrupt) == (7 * 24 * HOUR_US, "refuse")
    assert whole.windows == (
        Window("5m", 5 * MINUTE_US),
        Window("1h", HOUR_US),
        Window("24h", 24 * HOUR_US),
    )
    assert (whole.limits.max_tracked, whole.limits.max_campaigns) == (1_000_000, 500)
    assert (whole.exposition.exemplars, whole.exposition.created) == (False, False)


def test_the_built_in_profiles_are_there_without_being_written(tmp_path: Path) -> None:
    """`otp`, `default` and `campaign` have the values of the documentation."""
    whole = load_text(tmp_path, ACCOUNT)
    assert whole.policies == {
        "otp": Policy(
            3 * SECOND_US, 5 * SECOND_US, 5 * SECOND_US, 2 * MINUTE_US, 30 * SECOND_US, 0.95, Priority.HIGH
        ),
        "default": Policy(
            5 * SECOND_US, 5 * SECOND_US, 30 * MINUTE_US, 24 * HOUR_US, 5 * MINUTE_US, 0.95, Priority.NORMAL
        ),
        "campaign": Policy(MINUTE_US, MINUTE_US, HOUR_US, 72 * HOUR_US, HOUR_US, 0.90, Priority.LOW),
    }


def test_a_written_key_of_a_built_in_profile_replaces_that_key_only(tmp_path: Path) -> None:
    """The rest of `otp` stays as it is built in."""
    whole = load_text(tmp_path, ACCOUNT + "profiles: {otp: {deadline: 40s}}")
    built_in = load_text(tmp_path, ACCOUNT).profiles["otp"]
    assert whole.profiles["otp"] == built_in.model_copy(update={"deadline": 40 * SECOND_US})


@pytest.mark.parametrize("order", ["slow: {deadline: 10m}\n  {}", "{}\n  slow: {deadline: 10m}"])
def test_a_new_profile_starts_from_default_as_written(order: str, tmp_path: Path) -> None:
    """Wherever in the file `default` stands, its written values are what a new profile begins with."""
    text = ACCOUNT + "profiles:\n  " + order.replace("{}", "default: {interval: 7s}")
    slow = load_text(tmp_path, text).profiles["slow"]
    assert (slow.interval, slow.deadline, slow.give_up_after) == (7 * SECOND_US, 10 * MINUTE_US, 24 * HOUR_US)


def test_a_campaign_has_its_listed_profile_or_that_of_its_name_or_default(tmp_path: Path) -> None:
    """The list wins over the name, and the name over `default`; being listed changes nothing by itself."""
    whole = load_text(
        tmp_path,
        ACCOUNT + "profiles: {slow: {deadline: 10m}}\n"
        "campaigns: [{name: sale, profile: campaign}, {name: otp, profile: slow}, "
        "{name: plain}, {name: slow}]",
    )
    profile = {name: profile.policy() for name, profile in whole.profiles.items()}
    expected = {
        "sale": "campaign",
        "otp": "slow",
        "plain": "default",
        "slow": "slow",
        "campaign": "campaign",
        "anything": "default",
    }
    assert {name: whole.policy_for(name) for name in expected} == {
        name: profile[of] for name, of in expected.items()
    }


def test_the_only_account_needs_no_mention(tmp_path: Path) -> None:
    """Campaigns and drop directories belong to the account, when there is one."""
    whole = load_text(
        tmp_path, ACCOUNT + "campaigns: [{name: sale, messages: [abc]}]\ndrop: [{directory: in}]"
    )
    assert list(whole.list_messages()) == [NewMessage("abc", "sale", "main")]
    assert whole.drop[0].account == "main"


def test_with_several_accounts_a_campaign_without_ids_belongs_to_none(tmp_path: Path) -> None:
    """It only says which profile its messages have, from any account."""
    second = ACCOUNT.replace("main", "second").replace("\naccounts:\n", "")
    whole = load_text(tmp_path, ACCOUNT + second + "campaigns: [{name: sale, profile: campaign}]")
    assert [account.name for account in whole.accounts] == ["main", "second"]
    assert whole.campaigns[0].account is None


def test_a_name_from_the_environment_is_not_shown_as_a_hint(tmp_path: Path) -> None:
    """Not even when it is the only one that could be meant."""
    text = ACCOUNT.replace("main", "${WHO}") + "drop: [{directory: in, account: hunter}]"
    (problem,) = check_text(tmp_path, text, {"WHO": "hunter2"}).problems
    assert (problem.key, problem.message, problem.hint) == ("drop[0].account", "no account has this name", "")


def test_a_byte_order_mark_is_no_part_of_the_first_key(tmp_path: Path) -> None:
    """Some editors put one in front."""
    assert load_text(tmp_path, "\N{ZERO WIDTH NO-BREAK SPACE}" + ACCOUNT) == load_text(tmp_path, ACCOUNT)


def test_spellings_that_other_programs_take_for_numbers_stay_text(tmp_path: Path) -> None:
    """Leading zeros, exponents, dates and truth values are ids and names like any other."""
    ids = "0012, 1e10, 0x1F, 2026-11-23, yes, 12_30, 1234567"
    whole = load_text(tmp_path, ACCOUNT + f"campaigns: [{{name: on, messages: [{ids}]}}, {{name: 12:30}}]")
    assert [message.message_id for message in whole.list_messages()] == ids.split(", ")
    assert [campaign.name for campaign in whole.campaigns] == ["on", "12:30"]


def test_relative_paths_start_at_the_file(tmp_path: Path) -> None:
    """Secrets, directories and state are found wherever the program is started from."""
    whole = load_text(
        tmp_path, ACCOUNT + "drop: [{directory: in}, {directory: /srv/in}]\nstorage: {path: state}"
    )
    assert whole.accounts[0].auth.api_key_file == tmp_path / "key"
    assert [drop.directory for drop in whole.drop] == [tmp_path / "in", Path("/srv/in")]
    assert whole.storage.path == tmp_path / "state"


def test_a_section_with_everything_commented_out_is_not_written(tmp_path: Path) -> None:
    """`drop:` with nothing below it means the same as no `drop`."""
    assert load_text(tmp_path, ACCOUNT + "drop:\nprofiles:\n# otp:\n") == load_text(tmp_path, ACCOUNT)


def test_values_come_from_the_environment_where_the_file_says_so(tmp_path: Path) -> None:
    """`${NAME}` is replaced, also inside a text and for numbers, and `$$` is a dollar sign."""
    text = ACCOUNT.replace("main", "${WHO}-$$-$x") + "limits: {max_tracked: '${MANY}'}"
    whole = load_text(tmp_path, text, {"WHO": "${MANY}", "MANY": "7"})
    # The content of a variable is a value: nothing in it is replaced again.
    assert whole.accounts[0].name == "${MANY}-$-$x"
    assert whole.limits.max_tracked == 7


def test_a_webhook_has_safe_defaults_and_reads_networks(tmp_path: Path) -> None:
    """Webhooks are verified, unknown ids are ignored, and addresses are parsed."""
    webhook = load_text(
        tmp_path,
        ACCOUNT
        + 'webhook: {listen: "[::1]:10979", token_file: t, trusted_proxies: [10.0.0.0/8, "2001:db8::1"]}',
    ).webhook
    assert webhook is not None
    assert (webhook.listen, webhook.mode, webhook.track_unknown) == (Listen("::1", 10979), "verify", False)
    assert (webhook.campaign, webhook.allowed_senders) == ("webhook", ())
    assert webhook.trusted_proxies == (ip_network("10.0.0.0/8"), ip_network("2001:db8::1/128"))


def test_settings_can_not_be_changed(tmp_path: Path) -> None:
    """A reload makes new settings; settings in use never change."""
    whole = load_text(tmp_path, ACCOUNT)
    with pytest.raises(ValidationError, match="frozen"):
        whole.storage.retention = 1


def test_a_key_in_the_file_is_accepted_with_a_warning_if_others_cannot_read_it(tmp_path: Path) -> None:
    """0640 is the widest mode; the warning shows no key."""
    text = ACCOUNT.replace("api_key_file: key", "api_key: hunter2")
    for mode, accepted in {0o600: True, 0o640: True, 0o644: False, 0o660: False, 0o604: False}.items():
        found = check_text(tmp_path, text, mode=mode)
        assert (found.settings is not None) == accepted, oct(mode)
    found = check_text(tmp_path, text)
    assert found.settings is not None
    assert found.settings.accounts[0].secret().read().reveal() == "hunter2"
    assert found.settings.warnings == found.warnings
    assert [warning.key for warning in found.warnings] == ["accounts[0].auth.api_key"]
    assert "hunter2" not in repr(found)


def test_a_key_from_the_environment_does_not_make_the_file_a_secret(tmp_path: Path) -> None:
    """Only a key in the file itself must be hidden from others."""
    text = ACCOUNT.replace("api_key_file: key", "api_key: '${KEY}'")
    assert check_text(tmp_path, text, {"KEY": "hunter2"}, mode=0o644).problems == ()
    part = text.replace("${KEY}", "hunter${KEY}")
    assert len(check_text(tmp_path, part, {"KEY": "2"}, mode=0o644).problems) == 1


def test_secrets_that_are_not_there_yet_are_warnings(tmp_path: Path) -> None:
    """Each file is named by its key and not by its path, which could be a key in the wrong place."""
    (tmp_path / "key").write_text("hunter2\n")
    text = ACCOUNT + "webhook: {listen: ':1', token_file: hunter3}\nintake: {token_file: key}"
    found = check_text(tmp_path, text)
    assert [(warning.key, warning.message) for warning in found.warnings] == [
        ("webhook.token_file", "can't be used now: no such file or directory")
    ]
    assert "hunter" not in found.warnings[0].render("config.yaml")


def test_no_dump_of_the_settings_shows_a_secret_or_an_id(tmp_path: Path) -> None:
    """Neither repr, nor a dump, nor JSON."""
    text = (
        ACCOUNT.replace("api_key_file: key", "api_key: hunter2")
        + "campaigns: [{name: a, messages: [abc123]}]"
    )
    whole = load_text(tmp_path, text)
    assert "<secret>" in whole.model_dump_json()
    for shown in (repr(whole), str(whole), str(whole.model_dump()), whole.model_dump_json()):
        assert "hunter2" not in shown
    assert "abc123" not in repr(whole)


def test_the_schema_can_be_exported(tmp_path: Path) -> None:
    """Editors get a JSON schema in which durations are text and what can be left out is not required."""
    schema = Settings.model_json_schema()
    assert schema["required"] == ["accounts"]
    definitions = schema["$defs"]
    assert definitions["Account"]["properties"]["timeout"]["type"] == "string"
    assert definitions["Account"]["properties"]["timeout"]["default"] == "10s"
    assert definitions["Profile"]["required"] == []
    assert definitions["Campaign"]["required"] == ["name"]
    assert definitions["Drop"]["required"] == ["directory"]
    assert definitions["Auth"]["properties"]["method"]["enum"] == ["header", "key-as-password", "basic"]
    assert load_text(tmp_path, ACCOUNT) is not None


def test_loading_gives_the_same_settings_as_checking(tmp_path: Path) -> None:
    """There is one way to read a file."""
    found = check_text(tmp_path, ACCOUNT)
    assert load(tmp_path / "config.yaml", {}) == found.settings
