"""The bodies of the provider's answers, byte for byte as its documentation shows them.

Numbers are written from integers: a float would round the very figures that
tests compare.
"""

import json

from exporter.domain.model import NANOS_PER_UNIT
from exporter.simulator.timeline import Timeline

_MESSAGES_PER_BATCH = 50
_FIRST_BATCH = 100_000


def format_decimal(nanos: int) -> str:
    """Return `nanos` billionths as an exact decimal with at least two places: 50,000,000 is `0.05`."""
    units, rest = divmod(nanos, NANOS_PER_UNIT)
    return f"{units}.{f'{rest:09d}'.rstrip('0'):0<2}"


def write_status(index: int, message_id: str, timeline: Timeline, now: int) -> bytes:
    """Return the answer to a status request at `now`: only what has happened by then."""
    ended = now >= timeline.final_at
    tariff = timeline.tariff
    text = (
        f'{{"messagelistId": {_FIRST_BATCH + index // _MESSAGES_PER_BATCH}, "messageId": "{message_id}", '
        f'"deliverystatus": "{timeline.status_at(now).word}", "partscount": {timeline.parts}'
    )
    if ended:
        text += f', "cost": {format_decimal(timeline.rate_amount_nanos)}'
    if timeline.has_fallback:
        entries = (f'{{"type": "{kind}", "status": "{word}"}}' for kind, word in timeline.fallbacks_at(now))
        text += f', "fallbacks": [{", ".join(entries)}]'
    if timeline.viber_first:
        pairs = (f'"{channel}": "{word}"' for channel, word in timeline.channels_at(now))
        text += f', "extendedStatuses": {{{", ".join(pairs)}}}'
    if tariff.rate_currency:
        text += f', "rate": {format_decimal(timeline.rate_nanos)}, "rateCurrency": "{tariff.rate_currency}"'
        if ended:
            text += (
                f', "rateAmount": {format_decimal(timeline.rate_amount_nanos)}'
                f', "billAmount": {format_decimal(timeline.bill_nanos)}'
                f', "billCurrency": "{tariff.bill_currency}"'
            )
    return f"{text}}}".encode()


def replace_status_word(body: bytes, word: str) -> bytes:
    """Return a status answer with `word` for its status, whatever it was."""
    return json.dumps(json.loads(body) | {"deliverystatus": word}).encode()


def spoil_cost(body: bytes) -> bytes:
    """Return a status answer with a cost that is no number."""
    return json.dumps({**json.loads(body), "cost": "n/a", "billAmount": "n/a"}).encode()


def write_error(code: str, message: str) -> bytes:
    """Return the provider's error object."""
    return json.dumps({"error": {"code": code, "message": message}}).encode()
