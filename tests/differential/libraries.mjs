// The verdicts of official JavaScript libraries, for tests/differential/libraries.py: JSON lines in, JSON lines out.
//
//     node libraries.mjs MODULES < cases
//
// MODULES is the folder whose node_modules holds what package.json names.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { join } from "node:path";

const require = createRequire(join(process.argv[2], "package.json"));
const load = async (name) => import(require.resolve(name));
// This one is a module, which require does not resolve.
const octokit = await import(join(process.argv[2], "node_modules/@octokit/webhooks-methods/dist-node/index.js"));
const { Webhook } = require("standardwebhooks");
const stripe = require("stripe")("sk_test_none");
await load("@shopify/shopify-api/adapters/node");
const { shopifyApi } = require("@shopify/shopify-api");

const MessageValidator = require("sns-validator");
const twilio = require("twilio");
const contentful = require("@contentful/node-apps-toolkit");
const ebay = require("event-notification-nodejs-sdk");

// The key that it would fetch.
let published = "";
require("event-notification-nodejs-sdk/lib/client").getPublicKey = async () => ({ key: published });
// It does something with the events that it knows, and logs what it refuses.
require("event-notification-nodejs-sdk/lib/processor/processor").getProcessor = () => ({ process: () => {} });
console.error = () => {};

// A form as its parser gives it: a name that occurs several times has a list.
const form = (body) => {
  const found = {};
  for (const [name, value] of new URLSearchParams(body.toString())) {
    found[name] = name in found ? [].concat(found[name], value) : value;
  }
  return found;
};

// The certificate that it would fetch: the key itself will do.
let certificate = "";
require("https").get = (address, done) => {
  const response = { statusCode: 200, on: (event, call) => (call(event === "data" ? certificate : undefined), response) };
  done(response);
  return { on() {} };
};

// Each takes the body's bytes where the library does, else their text, as its own guide has it.
const verdicts = {
  "standardwebhooks-js": ({ body, headers }, secret) => {
    new Webhook(secret).verify(body, headers, { jsonParse: false });
    return true;
  },
  "stripe-js": ({ body, headers }, secret) =>
    stripe.webhooks.signature.verifyHeader(body, headers["stripe-signature"], secret, 300),
  "octokit-js": ({ body, headers }, secret) =>
    octokit.verify(secret, body.toString(), headers["x-hub-signature-256"]),
  "shopify-js": async ({ body, headers }, secret) => {
    const shopify = shopifyApi({
      apiKey: "key", apiSecretKey: secret, apiVersion: "2026-01", hostName: "hooks.example.com",
      isEmbeddedApp: false, logger: { log: () => {} },
    });
    const answer = { rawBody: body.toString(), rawRequest: { method: "POST", url: "/", headers }, rawResponse: {} };
    return (await shopify.webhooks.validate(answer)).valid;
  },
  "twilio-js": ({ body, headers, url }, secret) =>
    url.includes("bodySHA256=")
      ? twilio.validateRequestWithBody(secret, headers["x-twilio-signature"], url, body.toString())
      : twilio.validateRequest(secret, headers["x-twilio-signature"], url, form(body)),
  "contentful-js": ({ body, headers, url }, secret) => {
    const { pathname, search } = new URL(url);
    return contentful.verifyRequest(secret, { method: "POST", path: pathname + search, headers, body: body.toString() }, 300);
  },
  "ebay-js": async ({ body, headers }, secret) => {
    published = `-----BEGIN PUBLIC KEY-----${secret}-----END PUBLIC KEY-----`;
    const config = { PRODUCTION: { clientId: "id", clientSecret: "secret" }, SANDBOX: {} };
    return (await ebay.process(JSON.parse(body.toString()), headers["x-ebay-signature"], config, "PRODUCTION")) === 204;
  },
  "sns-validator-js": ({ body }, secret) =>
    new Promise((resolve) => {
      certificate = secret;
      new MessageValidator().validate(body.toString(), (error) => resolve(!error));
    }),
};

for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  request.body = Buffer.from(request.body, "base64");
  Date.now = () => request.at * 1000;
  const answer = {};
  for (const library of request.libraries) {
    answer[library] = false;
    for (const secret of request.secrets) {
      try {
        answer[library] ||= await verdicts[library](request, secret);
      } catch {
        // A library refuses by throwing.
      }
    }
  }
  console.log(JSON.stringify(answer));
}
