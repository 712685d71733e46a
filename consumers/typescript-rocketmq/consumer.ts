// Reads hookmq's messages with RocketMQ's gRPC client: a proxy of RocketMQ 5, not 4.8. Tried with 5.3.3.
//   npm install && npm run build
//   ENDPOINT=127.0.0.1:8081 TOPIC=webhooks_github node consumer.js
// Replace `handle`. Settings are environment variables; docs/consumers.md of hookmq explains them.
import { CloudEvent } from "cloudevents";
import { Database } from "node-sqlite3-wasm";
import { MessageView, SimpleConsumer } from "rocketmq-client-nodejs";

const LEASE_MS = 60_000; // longer than `handle` takes
const TABLE = `CREATE TABLE IF NOT EXISTS seen (source TEXT, id TEXT, lease BIGINT, done BIGINT DEFAULT 0,
  PRIMARY KEY (source, id))`; // keep rows for 75 hours
// PostgreSQL takes the same statements with $1 for the first ?. With `lease TIMESTAMPTZ` and the database's clock
// this one is … VALUES ($1, $2, now() + interval '60 s') … WHERE seen.done = 0 AND seen.lease < now()
const LEASE = `INSERT INTO seen (source, id, lease) VALUES (?, ?, ?) ON CONFLICT (source, id)
  DO UPDATE SET lease = excluded.lease WHERE seen.done = 0 AND seen.lease < ?`;
const REPEAT = "SELECT done FROM seen WHERE source = ? AND id = ? AND done > 0";
const DONE = "UPDATE seen SET done = ? WHERE source = ? AND id = ?";
const FREE = "UPDATE seen SET lease = 0 WHERE source = ? AND id = ? AND lease = ?";
const env = (name: string, otherwise: string): string => process.env[name] || otherwise;

/** Your own code: it returns when the work is done, and throws if the message shall come again. */
async function handle(event: CloudEvent<unknown>, data: Buffer): Promise<void> {
  console.log(event.type, event.id, event.subject ?? "-");
}

/** Returns the event without its data, and the bytes of the data as they stand in the message. */
function read(message: MessageView): [CloudEvent<unknown>, Buffer] {
  const attributes: Record<string, string> = {};
  if (message.properties.has("CE_specversion")) { // `format = "raw"`: the text is the data
    for (const [name, value] of message.properties) {
      if (name.startsWith("CE_") && name !== "CE_contenttype") attributes[name.slice(3)] = value;
    }
    return [new CloudEvent(attributes), message.body];
  }
  // The data is the last member. JSON.parse would lose its white space, its large numbers and repeated names.
  const at = message.body.indexOf(',"data":');
  const head = at < 0 ? message.body.toString() : message.body.subarray(0, at).toString() + "}";
  const { data_base64: encoded, ...rest } = JSON.parse(head);
  if (encoded !== undefined) return [new CloudEvent(rest), Buffer.from(encoded, "base64")];
  const member = at < 0 ? Buffer.alloc(0) : message.body.subarray(at + 8, message.body.length - 1);
  const isJson = /^[^;]*[/+]json\s*(;|$)/i.test(rest.datacontenttype);
  return [new CloudEvent(rest), isJson ? member : Buffer.from(at < 0 ? "" : JSON.parse(member.toString()))];
}

/** Gets a body that was too large: DATAREF_PREFIX=s3://BUCKET/ is found at DATAREF_BASE=https://… */
async function fetchBody(reference: string): Promise<Buffer> {
  const prefix = env("DATAREF_PREFIX", "s3://"), base = env("DATAREF_BASE", "");
  const key = reference.startsWith(prefix) ? reference.slice(prefix.length) : "..";
  if (!base.startsWith("https://") || !/^[\w./-]+$/.test(key) || key.includes("..")) {
    throw new Error(`refused ${reference}: see DATAREF_PREFIX and DATAREF_BASE`);
  }
  const answer = await fetch(base + key, { signal: AbortSignal.timeout(30_000), redirect: "error" });
  if (!answer.ok) throw new Error(`${reference}: ${answer.status}`);
  return Buffer.from(await answer.arrayBuffer());
}

/** Returns true if the message is to be acknowledged; otherwise it comes again. */
async function take(database: Database, message: MessageView): Promise<boolean> {
  const [event, data] = read(message);
  const { source, id, webhookverified, dataref } = event;
  if (webhookverified !== env("WEBHOOK_VERIFIED", "body")) {
    throw new Error(`refused ${id}: webhookverified is ${webhookverified}`);
  }
  const now = Date.now(), lease = now + LEASE_MS;
  if (database.run(LEASE, [source, id, lease, now]).changes === 0) {
    const isDone = database.get(REPEAT, [source, id]) != null;
    if (isDone) console.error("repeat", id); // else another consumer is at work on it
    return isDone;
  }
  try {
    await handle(event, dataref ? await fetchBody(String(dataref)) : data);
    database.run(DONE, [now, source, id]);
    return true;
  } finally {
    database.run(FREE, [source, id, lease]); // after a failure the next attempt need not wait for the end
  }
}

async function main(): Promise<void> {
  const database = new Database(env("DATABASE", "seen.db"));
  database.run(TABLE);
  const login = { accessKey: env("ACCESS_KEY", ""), accessSecret: env("SECRET_KEY", "") };
  const consumer = new SimpleConsumer({
    endpoints: env("ENDPOINT", "127.0.0.1:8081"), namespace: "", consumerGroup: env("GROUP", "webhooks"),
    sessionCredentials: login.accessKey ? login : undefined,
    subscriptions: new Map([[env("TOPIC", "webhooks"), "*"]]),
  });
  await consumer.startup();
  for (;;) {
    for (const message of await consumer.receive(16, LEASE_MS)) {
      const isTaken = await take(database, message).catch((failure: Error) => console.error(failure.message));
      if (isTaken) await consumer.ack(message);
      else await consumer.changeInvisibleDuration(message, 10_000); // after 16 times it is in %DLQ%GROUP
    }
  }
}

void main();
