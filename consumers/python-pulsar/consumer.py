"""Consumer of hookmq's messages with Pulsar's client: Pulsar 2.8 to 4.x, TDMQ for Pulsar. Tried with 4.0.7.

    pip install -r requirements.txt
    SERVICE_URL=pulsar://127.0.0.1:6650 TOPIC=persistent://public/default/github python3 consumer.py

Replace `handle`. Settings are environment variables; docs/consumers.md of hookmq explains them.
"""
import json
import os
import re
import sqlite3
import sys
import time
import urllib.request

import pulsar
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

LEASE_S = 60  # longer than `handle` takes
TABLE = """CREATE TABLE IF NOT EXISTS seen (source TEXT, id TEXT, lease DOUBLE PRECISION,
    done DOUBLE PRECISION DEFAULT 0, PRIMARY KEY (source, id))"""  # keep rows for 75 hours
# PostgreSQL takes the same statements with %s for ?. With `lease TIMESTAMPTZ` and the database's clock this one is
# … VALUES (%s, %s, now() + interval '60 s') … WHERE seen.done = 0 AND seen.lease < now()
LEASE = """INSERT INTO seen (source, id, lease) VALUES (?, ?, ?) ON CONFLICT (source, id)
    DO UPDATE SET lease = excluded.lease WHERE seen.done = 0 AND seen.lease < ?"""
REPEAT = "SELECT 1 FROM seen WHERE source = ? AND id = ? AND done > 0"
DONE = "UPDATE seen SET done = ? WHERE source = ? AND id = ?"
FREE = "UPDATE seen SET lease = 0 WHERE source = ? AND id = ? AND lease = ?"
env = os.environ.get


def handle(event: CloudEvent, data: bytes) -> None:
    """Does your own work: it returns when the work is done, and raises if the message shall come again."""
    print(event.get_type(), event.get_id(), event.get_subject() or "-", flush=True)


def read(text: bytes, properties: dict) -> tuple[CloudEvent, bytes]:
    """Returns the event without its data, and the text of the data."""
    if "ce_specversion" in properties:  # `format = "raw"`: the text is the data, the properties are the event
        named = {name[3:]: value for name, value in properties.items() if name.startswith("ce_")}
        return JSONFormat().read(CloudEvent, json.dumps(named)), text
    # The data is the last member. The SDK would read it, and what it writes has other white space and numbers.
    head, _, member = text.removesuffix(b"}").partition(b',"data":')
    return JSONFormat().read(CloudEvent, head + b"}"), member


def payload(event: CloudEvent, member: bytes, properties: dict) -> bytes:
    """Returns the body as it was verified, byte for byte."""
    if reference := event.get_extension("dataref"):
        return fetch(reference)
    if "ce_specversion" in properties or not member:
        return member or event.get_data()
    is_json = re.match(r"[^;]*[/+]json\s*(;|$)", event.get_datacontenttype(), re.I)
    return member if is_json else json.loads(member).encode()


def fetch(reference: str) -> bytes:
    """Gets a body that was too large: DATAREF_PREFIX=s3://BUCKET/ is found at DATAREF_BASE=https://HOST/."""
    prefix, base = env("DATAREF_PREFIX", "s3://"), env("DATAREF_BASE", "")
    key = reference.removeprefix(prefix)
    if key == reference or not base.startswith("https://") or ".." in key or not re.fullmatch(r"[\w./-]+", key):
        raise PermissionError(f"refused {reference}: see DATAREF_PREFIX and DATAREF_BASE")
    with urllib.request.urlopen(base + key, timeout=30) as answer:
        return answer.read()


def take(database: sqlite3.Connection, text: bytes, properties: dict) -> bool:
    """Returns true if the message is to be acknowledged; otherwise it comes again."""
    event, member = read(text, properties)
    source, name, now = event.get_source(), event.get_id(), time.time()
    if event.get_extension("webhookverified") != env("WEBHOOK_VERIFIED", "body"):
        raise PermissionError(f"refused {name}: webhookverified is {event.get_extension('webhookverified')}")
    lease = now + LEASE_S
    if database.execute(LEASE, (source, name, lease, now)).rowcount == 0:
        is_done = database.execute(REPEAT, (source, name)).fetchone() is not None
        if is_done:  # else another consumer is at work on it
            print("repeat", name, file=sys.stderr, flush=True)
        return is_done
    try:
        handle(event, payload(event, member, properties))
        database.execute(DONE, (now, source, name))
        return True
    finally:  # after a failure the next attempt need not wait for the end of the lease
        database.execute(FREE, (source, name, lease))


def main() -> None:
    database = sqlite3.connect(env("DATABASE", "seen.db"), isolation_level=None)
    database.execute(TABLE)
    login = pulsar.AuthenticationToken(env("TOKEN")) if env("TOKEN") else None
    client = pulsar.Client(env("SERVICE_URL", "pulsar://127.0.0.1:6650"), authentication=login)
    consumer = client.subscribe(
        env("TOPIC", "webhooks"), env("GROUP", "webhooks"), consumer_type=pulsar.ConsumerType.Shared,
        initial_position=pulsar.InitialPosition.Earliest, negative_ack_redelivery_delay_ms=10_000,
        # What was delivered 16 times in vain is in the topic TOPIC-GROUP-DLQ.
        dead_letter_policy=pulsar.ConsumerDeadLetterPolicy(max_redeliver_count=16))
    while True:
        message = consumer.receive()
        try:
            done = take(database, message.data(), message.properties())
        except Exception as failure:
            print(failure, file=sys.stderr, flush=True)
            done = False
        consumer.acknowledge(message) if done else consumer.negative_acknowledge(message)


if __name__ == "__main__":
    main()
