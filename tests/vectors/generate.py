"""Generator of the vectors of the providers that publish how they sign, and hardly an example of it.

Each request is signed here with the standard library, from the provider's own description: nothing of
hookmq takes part. Without an argument the files of `shared/tests/vectors/webhooks` are written; with
`--check` it is an error if they would change.
"""
import base64
import json
import sys
import urllib.parse

from tests.support import ROOT
from tests.vectors.providers import NOW, OTHER_STAMP, PROVIDERS, SECRET, STAMP, URL, Provider, Request

FOLDER = ROOT / "shared/tests/vectors/webhooks"


class Cases:
    """Cases of one provider."""

    def __init__(self, name: str, provider: Provider):
        self.name, self.scheme, self.provider = name, provider.scheme, provider
        self.unit = self.scheme.window[0] if self.scheme.window else "s"
        self.list = []

    def request(self, at=NOW, secret=None, signature=None, unit=None) -> Request:
        secret, stamp = secret or self.scheme.secrets[0], STAMP[unit or self.unit](at)
        return Request(secret, self.body(secret, stamp, stamp, signature), stamp)

    def body(self, secret, stamp, written, signature=None) -> bytes:
        """Returns the body, with the signature if it stands there. The stamp is `written` there as JSON."""
        body = self.provider.body.replace("$STAMP", written).replace("$SECRET", secret)
        if "$SIGN" in body:
            signature = self.scheme.sign(Request(secret, b"", stamp)) if signature is None else signature
            body = body.replace("$SIGN", signature.hex())
        return body.encode()

    def headers(self, request: Request, signatures=None, value=None) -> list:
        scheme = self.scheme
        headers = [list(pair) for pair in scheme.fields(request)]
        if scheme.header:
            if value is None:
                signatures = signatures or [scheme.sign(request) if scheme.sign else b""]
                value = scheme.value(signatures, request)
            headers.append([scheme.header, value])
        return headers

    def add(self, name, expect, headers, body, why=None, secrets=None, now=NOW, query=None):
        secrets = [self.scheme.public(self.scheme.secrets[0])] if secrets is None else secrets
        case = {"name": name, "provider": self.name, "secret": (secrets or [""])[-1], "secrets": secrets, "now": now,
                "method": "POST", "headers": headers, "body_b64": base64.b64encode(body).decode()}
        if self.scheme.query:
            case["url"] = f"{URL}?{f'{self.scheme.query}={SECRET}' if query is None else query}"
        elif self.scheme.needs_url:
            case["url"] = URL
        self.list.append(case | {"expect": expect} | ({"why": why} if why else {}))

    def everything(self) -> list:
        if self.scheme.config["kind"] == "none":
            return self.of_nothing()
        good = self.request()
        headers = self.headers(good)
        self.add("valid", "accept", headers, good.body)
        for case in (str.lower, str.upper):
            changed = [[case(name), value] for name, value in headers]
            if changed != headers:
                self.add(f"valid_{case.__name__}case_header_names", "accept", changed, good.body)
        for i, (why, secret, published, body, now) in enumerate(self.provider.published):
            self.add(f"published_example_{i + 1}", "accept", published, body.encode(), why, [secret], now)
        self.of_secrets(good, headers)
        if self.scheme.query:
            self.of_query_token(good)
        elif self.scheme.header:
            self.of_header(good, headers)
        elif self.scheme.sign:
            self.of_body_signature(good)
        else:
            self.of_body_token(good)
        if self.scheme.sign and self.scheme.header:
            self.of_signature(good, headers)
        if self.scheme.window:
            self.of_time(good)
        return self.list

    def of_secrets(self, good, headers):
        old, new = (self.scheme.public(secret) for secret in self.scheme.secrets)
        self.add("rotation_two_configured_secrets_old_signs", "accept", headers, good.body,
                 "receiver holds [new, old]; sender still signs with old", [new, old])
        self.add("wrong_secret", "reject", headers, good.body, secrets=[new])
        for name, secret in (("empty", ""), ("blank", " ")):
            self.add(f"{name}_secret", "config_error", headers, good.body,
                     "an empty or blank secret must never verify: it is a start-up error", [secret])

    def of_header(self, good, headers):
        """Adds cases of a header that is missing, changed or doubled, the same for signatures and tokens."""
        name, (*others, (_, value)) = self.scheme.header, headers
        what = "signature" if self.scheme.sign else "token"
        self.add(f"{what}_header_missing", "reject", others, good.body)
        self.add(f"{what}_header_empty", "reject", [*others, [name, ""]], good.body)
        self.add(f"{what}_truncated", "reject", [*others, [name, value[:-2]]], good.body)
        self.add(f"{what}_prolonged", "reject", [*others, [name, value + "0"]], good.body)
        twice = "accept" if self.scheme.several else "reject"
        self.add(f"{what}_header_twice", twice, [*others, [name, value], [name, value]], good.body,
                 "each may have a signature" if self.scheme.several else "two header fields of one name are ambiguous")
        joined = "accept" if self.scheme.commas or self.scheme.several else "reject"
        self.add(f"{what}_header_joined_by_a_gateway", joined, [*others, [name, f"{value}, {value}"]], good.body)
        prefix = self.scheme.config.get("prefix", self.scheme.config.get("signature", {}).get("prefix"))
        if prefix:
            bare = value.removeprefix(prefix)
            if self.scheme.or_bare:
                self.add(f"{what}_without_prefix", "accept", [*others, [name, bare]], good.body,
                         "the provider's own library takes it with and without the prefix")
                self.add(f"{what}_of_another_prefix", "reject", [*others, [name, "sha512=" + bare]], good.body)
                self.add(f"{what}_of_two_prefixes", "reject", [*others, [name, prefix + value]], good.body)
            else:
                self.add(f"{what}_without_prefix", "reject", [*others, [name, bare]], good.body)
            if prefix == "Bearer ":
                self.add("scheme_in_lower_case", "accept", [*others, [name, "bearer " + bare]], good.body,
                         "RFC 9110 11.1: the scheme's case does not matter")
                self.add("other_scheme", "reject", [*others, [name, "Basic " + bare]], good.body)

    def of_query_token(self, good):
        pair = f"{self.scheme.query}={SECRET}"
        for name, query in (("missing", ""), ("empty", f"{self.scheme.query}="), ("truncated", pair[:-1]),
                            ("prolonged", pair + "0"), ("twice", f"{pair}&{pair}"), ("under_another_name", "x" + pair)):
            self.add(f"token_{name}", "reject", [], good.body, query=query)
        self.add("token_beside_another_parameter", "accept", [], good.body, query=f"list=1&{pair}")
        self.add("token_in_the_body", "reject", [], f"{pair}&".encode() + good.body, query="")

    def of_body_token(self, good):
        secret = json.dumps(good.secret).encode()
        for name, value in (("empty", b'""'), ("wrong", b'"x"'), ("null", b"null"), ("list", b"[%s]" % secret)):
            self.add(f"token_{name}", "reject", [], good.body.replace(secret, value))
        member = self.scheme.config["from"].rpartition(":")[2].rpartition(".")[2].encode()
        self.add("token_missing", "reject", [], good.body.replace(member, member[::-1]))
        self.add("token_in_an_object_below", "reject", [], b'{"a":%s}' % good.body)
        self.add("not_json", "reject", [], good.secret.encode())
        if self.scheme.items:
            self.of_items(good)

    def of_items(self, good):
        """Adds cases of a list whose every item carries the token."""
        whole = json.loads(good.body)
        items = whole[self.scheme.items]
        member = self.scheme.config["from"].removeprefix("item:")
        bad, without = items[0] | {member: "x"}, {k: v for k, v in items[0].items() if k != member}
        for name, expect, value in (
            ("two", "accept", items * 2), ("the_first_wrong", "reject", [bad, *items]),
            ("the_second_wrong", "reject", [*items, bad]), ("the_second_without", "reject", [*items, without]),
            ("none", "reject", []), ("one_beside_no_list", "reject", items[0]), ("null", "reject", None),
        ):
            self.add(f"items_{name}", expect, [], json.dumps(whole | {self.scheme.items: value}).encode())
        self.add("items_missing", "reject", [], json.dumps(items[0]).encode())

    def of_nothing(self) -> list:
        for name, headers, body in (("anything", [], b'{"a":1}'), ("no_body", [], b""), ("no_text", [], b"\xff"),
                                    ("with_a_signature", [["X-Signature", "00"]], b"{}")):
            self.add(name, "accept", headers, body, secrets=[])
        self.add("secret_that_nothing_uses", "config_error", [], b"{}", secrets=[SECRET])
        return self.list

    def of_body_signature(self, good):
        """Adds cases of a signature in the body, of which it covers the timestamp alone."""
        body, digest = good.body, self.scheme.sign(good)
        signature = json.dumps(digest.hex()).encode()
        member = b'"%s":' % self.scheme.config["signature"]["from"].removeprefix("json:").encode()
        for name, value in (("empty", b'""'), ("truncated", signature[:-3] + b'"'),
                            ("prolonged", signature[:-1] + b'00"'), ("null", b"null"), ("list", b"[%s]" % signature),
                            ("bit_flipped", json.dumps((digest[:-1] + bytes([digest[-1] ^ 8])).hex()).encode())):
            self.add(f"signature_{name}", "reject", [], body.replace(signature, value))
        self.add("signature_missing", "reject", [], body.replace(member, b'"x":'))
        for name, value in (("bad_then_good", member + b'"00",'), ("good_twice", member + signature + b",")):
            self.add(f"signature_twice_{name}", "reject", [], b"{" + value + body[1:])
        self.add("signature_in_an_object_below", "reject", [], b'{"a":%s}' % body)
        other = self.scheme.sign(Request(self.scheme.secrets[1], b"", good.stamp))
        self.add("signed_with_another_secret", "reject", [], self.request(signature=other).body)
        self.add("not_json", "reject", [], digest.hex().encode())
        self.add("another_event", "accept", [], body.replace(b"{", b'{"a":1,', 1), "the body is not covered")

    def of_signature(self, good, headers):
        scheme, body = self.scheme, good.body
        signature = scheme.sign(good)
        flipped = signature[:-1] + bytes([signature[-1] ^ 8])
        self.add("signature_bit_flipped", "reject", self.headers(good, [flipped]), body)
        bad, right = self.headers(good, [flipped])[-1], headers[-1]
        twice = "accept" if scheme.several else "reject"
        self.add("signature_header_twice_bad_then_good", twice, [*headers[:-1], bad, right], body)
        self.add("signature_of_no_bytes", "reject", self.headers(good, [b""]), body)
        other = Request(scheme.secrets[1], body, good.stamp)
        self.add("signed_with_another_secret", "reject", self.headers(other), body)
        if scheme.lists:
            both = [scheme.sign(other), signature]
            self.add("rotation_header_new_then_old", "accept", self.headers(good, both), body,
                     "sender signs with both keys")
            self.add("rotation_header_neither_matches", "reject", self.headers(good, [flipped, both[0]]), body)
        is_json = body.startswith((b"{", b"["))
        again = json.dumps(json.loads(body), indent=1) if is_json else urllib.parse.urlencode(
            sorted(urllib.parse.parse_qsl(body.decode())))
        for name, changed in (
            ("tampered", body.replace(b'"', b"'", 1) if is_json else body.replace(b"=", b"=1", 1)),
            ("trailing_newline_added", body + b"\n"),
            ("empty", b""),
            ("still_base64_from_gateway", base64.b64encode(body)),
            ("parsed_and_reserialised", again.encode()),
        ):
            self.add(f"body_{name}", "reject", headers, changed)
        for name, value in scheme.pinned:
            changed = [[n, "other" if n == name else v] for n, v in headers]
            self.add(f"pin_{name.lower()}_changed", "reject", changed, body)
            self.add(f"pin_{name.lower()}_missing", "reject", [h for h in headers if h[0] != name], body)
        if scheme.id_header:
            changed = [[n, v + "x" if n == scheme.id_header else v] for n, v in headers]
            self.add("id_tampered", "reject", changed, body)
            self.add("id_missing", "reject", [h for h in headers if h[0] != scheme.id_header], body)

    def of_time(self, good):
        unit, past, future = self.scheme.window
        for name, at, expect in (
            ("just_inside_tolerance", NOW - past + 1, "accept"),
            ("stale_validly_signed", NOW - past - 1, "reject"),
            ("ahead_inside_tolerance", NOW + future - 1, "accept"),
            ("future_validly_signed", NOW + future + 1, "reject"),
        ):
            request = self.request(at)
            self.add(f"timestamp_{name}", expect, self.headers(request), request.body)
        if unit in OTHER_STAMP:
            for name, at, expect in (("valid", NOW, "accept"), ("stale", NOW - past - 1, "reject")):
                request = self.request(at, unit=OTHER_STAMP[unit])
                self.add(f"timestamp_of_the_other_form_{name}", expect, self.headers(request), request.body)
        signature = self.scheme.sign(good)
        later = self.request(NOW + 1, signature=signature)
        self.add("timestamp_tampered", "reject", self.headers(later, [signature]), later.body,
                 "one second on: only the signature can catch it")
        name = self.scheme.stamp_header
        if name:
            headers = [h for h in self.headers(good) if h[0] != name]
            self.add("timestamp_missing", "reject", headers, good.body)
            self.add("timestamp_twice", "reject", [[name, good.stamp], [name, good.stamp], *headers], good.body)
        for what, stamp in (("not_a_number", "abc"), ("of_the_wrong_unit", "1760000"), ("negative", "-1"),
                            ("with_blanks", f" {good.stamp}")):
            body = self.body(good.secret, stamp, json.dumps(stamp))
            request = Request(good.secret, body, stamp)
            self.add(f"timestamp_{what}", "reject", self.headers(request), body, "validly signed")


def document(name: str, provider: Provider) -> str:
    value = {"provider": name, "generated_with": ["tests/vectors/generate.py"], "now": NOW,
             "config": provider.scheme.config, **({"params": provider.params} if provider.params else {}),
             "notes": [], "cases": Cases(name, provider).everything()}
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


def main() -> None:
    files = {FOLDER / f"{name}.json": document(name, provider) for name, provider in PROVIDERS.items()}
    if sys.argv[1:] == ["--check"]:
        stale = [path.name for path, text in files.items() if not path.exists() or path.read_text() != text]
        sys.exit(f"not as the generator writes them: {', '.join(stale)}" if stale else None)
    for path, text in files.items():
        path.write_text(text)


if __name__ == "__main__":
    main()
