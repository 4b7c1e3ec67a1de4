"""The bodies of the provider's answers, byte for byte as its documentation draws them.

Numbers are written from integers: a float would smuggle rounding into the very
figures that tests compare.
"""

import json

from exporter.domain.model import NANOS_PER_UNIT
from exporter.simulator.fate import Fate

_MESSAGES_PER_BATCH = 50
_FIRST_BATCH = 100_000


def decimal_text(nanos: int) -> str:
    """Return `nanos` billionths as an exact decimal with at least two places: 50,000,000 is `0.05`."""
    units, rest = divmod(nanos, NANOS_PER_UNIT)
    return f"{units}.{f'{rest:09d}'.rstrip('0'):0<2}"


def status_body(index: int, message_id: str, fate: Fate, now: int) -> bytes:
    """Return the answer to a status request at `now`: only what has happened by then."""
    ended = now >= fate.final_at
    tariff = fate.tariff
    text = (
        f'{{"messagelistId": {_FIRST_BATCH + index // _MESSAGES_PER_BATCH}, "messageId": "{message_id}", '
        f'"deliverystatus": "{fate.status(now).word}", "partscount": {fate.parts}'
    )
    if ended:
        text += f', "cost": {decimal_text(fate.rate_amount_nanos())}'
    if fate.has_fallback:
        entries = (f'{{"type": "{kind}", "status": "{word}"}}' for kind, word in fate.fallbacks(now))
        text += f', "fallbacks": [{", ".join(entries)}]'
    if fate.viber_first:
        pairs = (f'"{channel}": "{word}"' for channel, word in fate.channels(now))
        text += f', "extendedStatuses": {{{", ".join(pairs)}}}'
    if tariff.rate_currency:
        text += f', "rate": {decimal_text(fate.rate_nanos)}, "rateCurrency": "{tariff.rate_currency}"'
        if ended:
            text += (
                f', "rateAmount": {decimal_text(fate.rate_amount_nanos())}'
                f', "billAmount": {decimal_text(fate.bill_nanos())}, "billCurrency": "{tariff.bill_currency}"'
            )
    return f"{text}}}".encode()


def with_status_word(body: bytes, word: str) -> bytes:
    """Return a status answer with `word` for its status, whatever it was."""
    return json.dumps(json.loads(body) | {"deliverystatus": word}).encode()


def with_bad_cost(body: bytes) -> bytes:
    """Return a status answer with a cost that is no number."""
    return json.dumps({**json.loads(body), "cost": "n/a", "billAmount": "n/a"}).encode()


def error_body(code: str, message: str) -> bytes:
    """Return the provider's error object."""
    return json.dumps({"error": {"code": code, "message": message}}).encode()
