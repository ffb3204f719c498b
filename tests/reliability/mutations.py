"""Makes bad requests out of good ones, by one seed: mutated bytes, and fields with extreme values."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

MAX_BYTES = 60_000
TEXTS = [
    "", "a", "\x00", "a" * 5000, "ä€🎭", "\u202e", "\ud7ff\ue000", "../../x", "'; DROP TABLE x; --",
    "%s%n", "${HOME}", "-1", "NaN", "1e400", "null", "*", "geo", "thresholds.high", "ai.api_key",
    "text.synonyms.0", "category_weights.overrides.a.date", "plain:x", "AIza" + "a" * 30,
    "00000000-0000-0000-0000-000000000000", "8c1f6ab2-45a8-4c5b-9f3e-0d8f0a7e3c11",
    "8c1f6ab2-45a8-4c5b-9f3e-0d8f0a7e3c11:1", "geo: {neutral_score: 0.5}", "a: &a [*a]", "[" * 500,
]  # fmt: skip
WHOLE = [0, 1, 2, -1, 5, 127, 128, 2**31 - 1, -(2**31), 2**53, 2**63 - 1, -(2**63)]
FLOATS = [
    0.0, -0.0, 1.0, 0.5, -1.0, 1.0000001, 1e-320, 1e308, float("inf"), -float("inf"), float("nan"),
]  # fmt: skip
SIZES = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_ENUM: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}
DEPTH = 6


@dataclass
class Mutator:
    """Mutates by one random source, so a seed gives the same requests again."""

    random: random.Random

    def mutated(self, body: bytes, others: list[bytes]) -> bytes:
        """Return bytes with one to three mutations."""
        for _ in range(self.random.randint(1, 3)):
            body = self.random.choice(MUTATIONS)(self, body, others)[:MAX_BYTES]
        return body

    def place(self, body: bytes, more: int = 1) -> int:
        """Return a place in a body."""
        return self.random.randrange(len(body) + more) if len(body) + more > 0 else 0

    def flipped(self, body: bytes, _: list[bytes]) -> bytes:
        """Flip one bit."""
        if not body:
            return b"\xff"
        at = self.place(body, 0)
        return body[:at] + bytes([body[at] ^ 1 << self.random.randrange(8)]) + body[at + 1 :]

    def truncated(self, body: bytes, _: list[bytes]) -> bytes:
        """Leave the end out."""
        return body[: self.place(body)]

    def duplicated(self, body: bytes, _: list[bytes]) -> bytes:
        """Repeat a part."""
        start, end = sorted((self.place(body), self.place(body)))
        return body[:end] + body[start:end] * self.random.choice((1, 2, 50)) + body[end:]

    def inserted(self, body: bytes, _: list[bytes]) -> bytes:
        """Put random bytes somewhere."""
        at = self.place(body)
        return body[:at] + self.random.randbytes(self.random.choice((1, 2, 8, 200))) + body[at:]

    def swapped(self, body: bytes, _: list[bytes]) -> bytes:
        """Let two parts change places."""
        a, b, c = sorted(self.place(body) for _ in range(3))
        return body[:a] + body[b:c] + body[a:b] + body[c:]

    def spliced(self, body: bytes, others: list[bytes]) -> bytes:
        """Go on with another request."""
        other = self.random.choice(others)
        return body[: self.place(body)] + other[self.place(other) :]

    def lied(self, body: bytes, _: list[bytes]) -> bytes:
        """Replace a byte by a length or a tag that is not true."""
        at = self.place(body)
        lie = self.random.choice((b"\xff\xff\xff\xff\x0f", b"\x00", b"\x7f", b"\x80", b"\xff" * 11))
        return body[:at] + lie + body[at + 1 :]

    def nested(self, body: bytes, _: list[bytes]) -> bytes:
        """Wrap the body in itself, many levels deep."""
        number = self.random.randint(1, 12)
        for _level in range(self.random.choice((3, 50, 150))):
            body = bytes([number << 3 | 2]) + varint(len(body)) + body
        return body

    def worded(self, body: bytes, _: list[bytes]) -> bytes:
        """Add a text field."""
        text = self.random.choice(TEXTS).encode()
        return body + bytes([self.random.randint(1, 12) << 3 | 2]) + varint(len(text)) + text

    def garbled(self, body: bytes, _: list[bytes]) -> bytes:
        """Add a text field that is no UTF-8."""
        text = self.random.choice((b"\xff", b"\xed\xa0\x80", b"\xc0\xaf", b"\xf5\x80\x80\x80"))
        return body + bytes([self.random.randint(1, 12) << 3 | 2]) + varint(len(text)) + text

    def extreme(self, kind: type[Message]) -> Message:
        """Return a message whose fields are at random absent, usual or extreme."""
        return self._filled(kind(), DEPTH)

    def _filled(self, message: Any, depth: int) -> Any:
        for field in message.DESCRIPTOR.fields:
            if self.random.random() < 0.4:
                self._fill(message, field, depth)
        return message

    def _fill(self, message: Any, field: Any, depth: int) -> None:
        target = getattr(message, field.name)
        if field.message_type and field.message_type.GetOptions().map_entry:
            for _ in range(self.random.choice((0, 1, 3)) if depth else 0):
                key, value = field.message_type.fields
                where = target[self._scalar(key)] if value.message_type else None
                if where is not None:
                    self._filled(where, depth - 1)
        elif field.is_repeated:
            for _ in range(self.random.choice((0, 1, 3, 101)) if depth else 0):
                if field.message_type:
                    self._filled(target.add(), depth - 3)
                else:
                    target.append(self._scalar(field))
        elif field.message_type:
            target.SetInParent()
            if depth > 0:
                self._filled(target, depth - 1)
        else:
            setattr(message, field.name, self._scalar(field))

    def _scalar(self, field: Any) -> Any:
        kind = field.cpp_type
        if kind == FieldDescriptor.CPPTYPE_BOOL:
            return self.random.random() < 0.5
        if kind in (FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT):
            return self.random.choice([*FLOATS, self.random.random()])
        if kind == FieldDescriptor.CPPTYPE_STRING:
            return self.random.choice(TEXTS)
        low, high = SIZES[kind]
        return min(max(self.random.choice(WHOLE), low), high)


MUTATIONS: list[Callable[[Mutator, bytes, list[bytes]], bytes]] = [
    Mutator.flipped, Mutator.truncated, Mutator.duplicated, Mutator.inserted, Mutator.swapped,
    Mutator.spliced, Mutator.lied, Mutator.nested, Mutator.worded, Mutator.garbled,
]  # fmt: skip


def varint(value: int) -> bytes:
    """Return a number as protobuf writes it."""
    written = b""
    while value >= 128:
        written, value = written + bytes([value % 128 + 128]), value // 128
    return written + bytes([value])
