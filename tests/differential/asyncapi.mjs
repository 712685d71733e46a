// The verdict of AsyncAPI's own parser on a document, for tests/differential/asyncapi.py.
//
//     node asyncapi.mjs MODULES < DOCUMENT
//
// Writes {"errors": [...], "document": the document with its references resolved, or null}.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { join } from "node:path";

const require = createRequire(join(process.argv[2], "package.json"));
const { Parser } = require("@asyncapi/parser");

const { document, diagnostics } = await new Parser().parse(readFileSync(0, "utf8"));
const ERROR = 0;
const errors = diagnostics.filter((told) => told.severity === ERROR).map((told) => `${told.path.join(".")}: ${told.message}`);
const channels = document?.channels().all().map((channel) => ({
  id: channel.id(),
  address: channel.address(),
  parameters: channel.parameters().all().map((parameter) => parameter.id()),
  messages: channel.messages().all().map((message) => ({
    contentType: message.contentType() ?? null,
    payload: message.payload()?.json() ?? null,
    headers: message.headers()?.json() ?? null,
  })),
}));
process.stdout.write(JSON.stringify({ errors, channels: channels ?? null }));
