"""A guest in Python, written from docs/channel.md and nothing else."""

import json
import os
import struct

RAW, JSON = 0, 2
WARNING = 2


def number(value):
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out) + bytes([value])


def text(value):
    value = value.encode()
    return number(len(value)) + value


def texts(values):
    return number(len(values)) + b"".join(text(value) for value in values)


class Channel:
    def __init__(self):
        self.number = int(os.environ["SANDTRAP_CHANNEL"])
        self.is_last = False
        # The functions of the host that may be called.
        self.known = []

    def send(self, kind, fields=b"", tail=b""):
        head = bytes([kind]) + fields
        for part in struct.pack("<I", len(head) + len(tail)) + head, tail:
            part = memoryview(part)
            while part:
                part = part[os.write(self.number, part):]

    def bytes(self, count):
        found = bytearray(count)
        view = memoryview(found)
        while view:
            read = os.readv(self.number, [view])
            if read == 0:
                return None
            view = view[read:]
        return bytes(found)

    def frame(self):
        length = self.bytes(4)
        return length and self.bytes(struct.unpack("<I", length)[0])

    def ask(self, function, value):
        """Calls a function of the host."""
        self.send(10, number(77) + bytes([JSON]) + text(function), json.dumps(value).encode())
        while frame := self.frame():
            self.is_last = self.is_last or frame[0] == 4
            fields = Fields(frame)
            if frame[0] == 2 and fields.number() == 77:
                is_result, _ = fields.number(), fields.number()
                tail = frame[fields.at:].decode()
                if not is_result:
                    raise RuntimeError(tail)
                return json.loads(tail)
        raise EOFError("the host has hung up")


class Fields:
    def __init__(self, frame):
        self.frame, self.at = frame, 1

    def number(self):
        value = shift = 0
        while True:
            byte = self.frame[self.at]
            self.at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    def text(self):
        end = self.number() + self.at
        value = self.frame[self.at:end].decode()
        self.at = end
        return value


def add(channel, call, value):
    return sum(value)


def count(channel, call, value):
    for item in range(value):
        channel.send(7, number(call) + bytes([JSON]), json.dumps(item).encode())
        channel.send(9, number(item + 1) + b"\x01" + number(value), b"counting")
    channel.send(8, bytes([WARNING]), b"that was all")
    return value


def reverse(channel, call, value):
    return value[::-1]


def look_up(channel, call, value):
    return channel.ask("kv.get", value)


def known(channel, call, value):
    return channel.known


def fail(channel, call, value):
    try:
        int(value)
    except ValueError as cause:
        raise RuntimeError("no number") from cause


FUNCTIONS = {"add": add, "count": count, "reverse": reverse, "fail": fail, "look_up": look_up, "known": known}


def answer(channel, fields):
    call, codec, _, name = fields.number(), fields.number(), fields.number(), fields.text()
    tail = fields.frame[fields.at:]
    try:
        if name not in FUNCTIONS:
            raise LookupError(f"there is no function `{name}`; there are {', '.join(FUNCTIONS)}")
        if codec not in (RAW, JSON):
            raise TypeError("this guest reads JSON and raw bytes only")
        value = FUNCTIONS[name](channel, call, json.loads(tail) if codec == JSON else tail)
        result = json.dumps(value).encode() if codec == JSON else value
    except Exception as error:
        causes, cause = [], error.__cause__
        while cause:
            causes.append(str(cause))
            cause = cause.__cause__
        channel.send(1, text(str(error)) + texts(causes))
    else:
        channel.send(5, number(call) + bytes([codec]), result)


def main():
    channel = Channel()
    channel.send(0, number(1))
    channel.send(4, texts(list(FUNCTIONS)))
    while not channel.is_last and (frame := channel.frame()):
        if frame[0] == 1:
            answer(channel, Fields(frame))
        elif frame[0] == 6:
            fields = Fields(frame)
            channel.known += [fields.text() for _ in range(fields.number())]
        elif frame[0] == 4:
            break


main()
