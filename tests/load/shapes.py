"""Deliveries that need memory."""
import base64
import dataclasses
import json
import typing

MIB = 1 << 20
TARGETS = ("t1", "t2", "t3", "t4", "r1", "r2", "r3", "r4")


@dataclasses.dataclass
class Shape:
    name: str
    body: typing.Callable[[int], bytes] | None = None
    keys: dict = dataclasses.field(default_factory=dict)
    vendor: str = "tdmq"
    targets: tuple = ()
    content_type: str = "text/plain"
    # Why the forwarder's vendor refuses; where it does not, the hook spills first of all.
    code: str | None = None
    count: int = 12
    change: typing.Callable[[str, bytes], bytes] | None = None
    # What the redriver's vendor does besides being slow, and what becomes of the deliveries.
    redrive_faults: tuple = ()
    fate: str = "sent"
    is_many: bool = False
    # Whether CI has time for it: those that took most before they were mended.
    is_ci: bool = False

    def few(self) -> int:
        """Returns the number of deliveries that fill the redriver's memory."""
        return max(1, self.count // 3)


def escapes(size: int):
    """Returns a maker of texts of which JSON makes six bytes for one."""
    return lambda number: b"%d" % number + b"\x01" * (size - 8)


def as_json(size: int):
    return lambda number: b'{"n": %d, "text": "' % number + b'x\\"y' * ((size - 40) // 4) + b'"}'


def mixed(size: int):
    piece = "\u0001 text \u00e9\u4e2d \"quoted\" \\ \n".encode()
    return lambda number: b"%d" % number + piece * (size // len(piece))


def binary(size: int):
    return lambda number: b"\xff%d" % number + bytes(range(256)) * (size // 256)


def with_original(name: str, content: bytes) -> bytes:
    """Changes a delivery to one of a hook with encrypted events: its original lies beside its content."""
    if not name.startswith("spill/"):
        return content
    record = json.loads(content)
    size = len(base64.b64decode(record["delivery"]["body"])) * 4 // 3
    record["delivery"]["original"] = base64.b64encode(b"e" * size).decode()
    return json.dumps(record, separators=(",", ":")).encode()


def without_message(name: str, content: bytes) -> bytes:
    """Changes a delivery to one that no message could be made of, before its hook was corrected."""
    record = json.loads(content)
    record["message"], record["error"]["errorclass"] = None, "unrenderable"
    return json.dumps(record, separators=(",", ":")).encode()


RAW = {"format": "raw"}
# What somebody corrects in the configuration: a redriver renders the message again.
TDMQ_TOPIC, DMS_TOPIC = "InvalidParameterValue.TopicNotFound", "DMS.00400876"
NEVER = {"fault": {"error": {"code": "DMS.10540012", "status": 400}}, "times": 0}
SHAPES = [
    Shape("6 MiB of escapes", escapes(6 * MIB)),
    Shape("6 MiB of escapes, rendered again", escapes(6 * MIB), code=TDMQ_TOPIC, is_ci=True),
    Shape("6 MiB of escapes, rendered again, DMS", escapes(6 * MIB), vendor="rocketmq", code=DMS_TOPIC),
    Shape("4.4 MiB of JSON, DMS", as_json(44 * MIB // 10), vendor="rocketmq", content_type="application/json"),
    Shape("3.9 MiB of JSON, DMS", as_json(39 * MIB // 10), vendor="rocketmq", content_type="application/json"),
    Shape("3.9 MiB of JSON, rendered again, DMS", as_json(39 * MIB // 10), vendor="rocketmq", code=DMS_TOPIC,
          content_type="application/json", is_ci=True),
    Shape("1.9 MiB of escapes, raw, DMS", escapes(19 * MIB // 10), RAW, vendor="rocketmq", is_ci=True),
    Shape("1.9 MiB of escapes, raw, DMS, to dead/", escapes(19 * MIB // 10), RAW, vendor="rocketmq", fate="dead",
          redrive_faults=(NEVER,)),
    Shape("0.25 MiB of escapes, rendered again, DMS", escapes(256 << 10), vendor="rocketmq", code=DMS_TOPIC, count=64),
    Shape("6 MiB and its encrypted original", mixed(6 * MIB), change=with_original),
    Shape("2 MiB, mixed, DMS", mixed(2 * MIB), vendor="rocketmq", count=24),
    Shape("2 MiB of bytes, DMS", binary(2 * MIB), vendor="rocketmq", count=24),
    Shape("150 KiB of escapes", escapes(150 << 10), count=200),
    Shape("0.65 MiB of escapes, without a message, DMS", escapes(650 << 10), vendor="rocketmq", count=48,
          change=without_message, is_ci=True),
    Shape("150 KiB of escapes, without a message", escapes(150 << 10), count=200, change=without_message, is_ci=True),
    Shape("6 MiB of escapes, eight targets", escapes(6 * MIB), targets=TARGETS, count=2, is_ci=True),
    Shape("600 KiB, mixed, eight targets", mixed(600 << 10), targets=TARGETS, count=12),
    Shape("small ones of 50 hooks, eight targets", is_many=True, is_ci=True),
]


def many(built, under, few: bool, hooks, spilled, copies):
    """Returns fifty hooks with eight targets, and deliveries of each."""
    body, each = b'{"small": true}', 5 if few else 20
    own = "hook-00"
    of = lambda name: hooks(name, list(TARGETS), spill="always")
    objects = spilled(built, under, of(own), own, [body], content_type="application/json")
    tables = [of(f"hook-{number:02}").split("[targets.")[0] for number in range(50)]
    targets = "[targets." + "[targets.".join(hooks(own, list(TARGETS)).split("[targets.")[1:])
    found = ((name, content) for name, content in objects.items() if name.startswith("spill/"))
    derived = [made for name, content in found for number in range(50)
               for made in copies(name, content, each, body, hook=f"hook-{number:02}", first=number * each)]
    return "".join(tables) + targets, derived
