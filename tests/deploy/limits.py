"""Limits of the platforms (`deploy/limits.toml`), and checks that templates, modules and pages keep to them."""
import json
import pathlib
import re
import tomllib

from tests import support

DATA = tomllib.loads((support.ROOT / "deploy/limits.toml").read_text())
TABLE = DATA["limit"]
# Variables that each deployment sets itself, by platform.
OWN = {deployment["platform"]: deployment["variables"] for deployment in DATA["deployment"]}

# Folder of a module below deploy/, and its platform in the table.
PLATFORMS = {"tencent-scf": "scf", "functiongraph/huawei": "functiongraph-huawei",
             "functiongraph/otc": "functiongraph-otc"}

# Documents that are told and refuse nothing.
DOUBTFUL = {"disputed", "third-party"}


def rows(platform: str, what: str, *triggers: str) -> list[dict]:
    """Returns the limits that refuse something, of these triggers and of all; without a trigger, of any."""
    found = [row for row in TABLE if row["platform"] == platform and row["what"] == what
             and row["certainty"] not in DOUBTFUL and (not triggers or row["trigger"] in {"*", *triggers})]
    assert found, f"deploy/limits.toml: no {what} of {platform} {triggers}"
    return found


def least(platform: str, what: str, *triggers: str) -> int:
    """Returns the smallest number of a limit, as its unit is read at the widest."""
    def widest(row: dict) -> int:
        value = row["value"]
        if row.get("defined", True):
            return value
        return value // 10**6 * 2**20 if value % 10**6 == 0 else value // 10**3 * 2**10
    return min(widest(row) for row in rows(platform, what, *triggers))


def check_names(where: object, platform: str, names: set[str]) -> None:
    """Checks that a platform takes these names of variables."""
    reserved = [name for row in rows(platform, "variable-reserved") for name in row["value"]]
    is_taken = lambda name: any(
        name.startswith(form[:-1]) if form.endswith("*") else name == form for form in reserved)
    taken = {name for name in names if is_taken(name)}
    assert not taken, f"{where}: the platform reserves {taken}"
    forms = [form for row in rows(platform, "variable-name-pattern") for form in row["value"]]
    wrong = {name for name in names if not any(re.fullmatch(form, name) for form in forms)}
    assert not wrong, f"{where}: the platform does not take {wrong}"


def check_own(where: object, platform: str, planned: dict[str, str]) -> None:
    """Checks that the table has the variables that a deployment sets itself, with values at least as long."""
    assert set(OWN[platform]) == set(planned), f"{where}: deploy/limits.toml has other variables than {sorted(planned)}"
    longer = {name: value for name, value in planned.items() if len(value) > len(OWN[platform][name])}
    assert not longer, f"{where}: deploy/limits.toml has shorter values than {longer}"


def check_stack(stack) -> None:
    """Checks the functions and the API of the SAM template, as CloudFormation gets it."""
    for name, resource in stack.resources.items():
        properties = resource["Properties"]
        if resource["Type"] == "AWS::Lambda::Function":
            limit = least("lambda", "timeout", *(["http-api"] if "Redrive" not in name else ["alb"]))
            assert properties["Timeout"] < limit, f"{name}: its answer comes after the trigger's time-out"
            variables = properties["Environment"]["Variables"]
            check_names(name, "lambda", set(variables))
            if "Redrive" not in name:
                # What is not a text is a reference that the deployment resolves, and a secret's is of hooks.toml.
                referred = re.findall(r'"env:(\w+)', (support.ROOT / "hooks.toml").read_text())
                check_own(name, "lambda", {key: value if isinstance(value, str) else ""
                                           for key, value in variables.items() if key not in referred})
            size = len(json.dumps(variables, separators=(",", ":"), ensure_ascii=False).encode())
            # What is not known before the deployment has some characters in the test and more there.
            assert size <= least("lambda", "variables-size") // 2, f"{name}: {size} bytes of variables"
        if resource["Type"] == "AWS::ApiGatewayV2::Api":
            times = set(re.findall(r'"timeoutInMillis": (\d+)', json.dumps(properties)))
            assert times == {str(least("lambda", "timeout", "http-api") * 1000)}, f"{name}: {times}"


def check_module(folder: str, main: str, variables: str) -> None:
    """Checks the bounds of a module's variables, and what its plan refuses."""
    platform = PLATFORMS[folder]
    bound = lambda name: int(re.search(rf"var\.{name} <= (\d+)", variables)[1])
    assert bound("timeout") == least(platform, "timeout"), f"{folder}: timeout"
    size = least(platform, "variables-size")
    sizes = [int(number) for number in re.findall(r"length\(jsonencode\([\w.]+\)\) <= (\d+)", main)]
    assert sizes and set(sizes) == {size}, f"{folder}: {sizes} of {size} bytes of variables"
    listed = re.search(r"reserved = \[(.*?)\n  \]", main, re.S)
    reserved = [name for row in rows(platform, "variable-reserved") for name in row["value"]]
    assert listed and re.findall(r'"([^"]+)"', listed[1]) == reserved, f"{folder}: the platform reserves {reserved}"
    (form,) = [form for row in rows(platform, "variable-name-pattern") for form in row["value"]]
    assert f'regex("^{form}$", name)' in main and "length(local.wrong_names) == 0" in main, f"{folder}: {form}"
    told = set(re.findall(r"error_message = \"[^\"]*?(\d+) KB", main))
    assert told == {str(size // 1024)}, f"{folder}: the message says {told} KB"
    for path in sorted((support.ROOT / "deploy" / folder).rglob("serverless.yml")):
        times = [int(number) for number in re.findall(r"^ *timeout: (\d+)$", path.read_text(), re.M)]
        assert times and max(times) <= least(platform, "timeout"), f"{path}: {times}"
    if folder == "tencent-scf":
        (concurrency,) = [row["value"] for row in rows(platform, "concurrency") if "in an instance" in row["unit"]]
        assert bound("concurrency") == concurrency, f"{folder}: concurrency"
        return
    lacks = {region for row in rows(platform, "region-lacks") for region in row["value"]}
    refused = re.search(r"!contains\(\[(.*?)\], var\.region\)", variables)
    assert refused and set(re.findall(r'"([\w-]+)"', refused[1])) == lacks, f"{folder}: regions without it are {lacks}"
    count = least(platform, "variables-count")
    counts = [int(number) for number in re.findall(r"length\(local\.\w+\) <= (\d+)", main)]
    assert counts and set(counts) == {count}, f"{folder}: {counts} of {count} variables"
    assert set(re.findall(r"FunctionGraph takes (\d+)", main)) == {str(count)}, f"{folder}: the message"
    (account,) = {row["value"] for row in rows(platform, "concurrency", "*") if row["unit"] == "executions"}
    instances = int(re.search(r'variable "max_instances" {.*?default *= (\d+)', variables, re.S)[1])
    assert instances < account, f"{folder}: a forwarder takes each of an account's {account}"


# Sizes that pages write as vendors do, and that are not limits of a platform: memory, disk, examples and defaults of
# other programs.
OTHER = {
    "aws.md": set(), "configuration.md": {"1MB"}, "containers.md": {"9.8 MB"}, "delivery-semantics.md": set(),
    "live-check.md": {"128 MB", "8 MB"}, "otc-huawei-cloud.md": set(), "reverse-proxy.md": {"1 MB", "17 GB"},
    "security.md": {"MB", "200\nMB", "256 MB", "148 MB", "85 MB", "131 MB"}, "tencent-cloud.md": {"128 MB"},
}
SIZE = re.compile(r"(?<![\w.,])\d[\d.,]*[ \n]?[KMG]B\b")
# Other figures of the table, in the words of a page.
FIGURES = [
    ("a gateway's time-out", r"\b(?:29|30|60) s\b[^.\n]*\b(?:HTTP API|REST API|API Gateway|APIG)\b"),
    ("a gateway's time-out", r"\b(?:HTTP API|REST API|API Gateway|APIG)\b[^.\n]*\b(?:29|30|60) s\b"),
    ("a number of variables", r"\b\d+ (?:encrypted )?variables\b"),
    ("a number of requests", r"\b\d{1,3}(?:,\d{3})+ requests\b"),
    ("a size of a head", r"\b10,240\b"),
]


def page_faults(name: str, text: str) -> list[str]:
    """Returns the figures of platforms that a page states by itself."""
    prose = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    found = [f"docs/{name}: {size!r}" for size in SIZE.findall(prose)
             if size not in OTHER[name] and size.replace("\n", " ") not in OTHER[name]]
    for what, form in FIGURES:
        found += [f"docs/{name}: {match[0]!r} ({what})" for match in re.finditer(form, prose)]
    return found


# Pages of a deployment, and the platforms that they are about.
PAGES = {"aws.md": {"lambda"}, "tencent-cloud.md": {"scf"},
         "otc-huawei-cloud.md": {"functiongraph-huawei", "functiongraph-otc"}}


def own_statuses() -> set[str]:
    """Returns the statuses that hookmq itself answers, as docs/configuration.md lists them."""
    page = (support.ROOT / "docs/configuration.md").read_text()
    return set(re.findall(r"\b[45]\d\d\b", page.split("\n## Answers\n")[1].split("\n### ")[0]))


def status_faults(name: str, text: str) -> list[str]:
    """Returns the statuses of a page that neither hookmq answers nor the table has of the page's platforms."""
    known = own_statuses() | {str(row["value"]) for row in TABLE
                              if row["unit"] == "status" and row["platform"] in PAGES[name]}
    prose = re.sub(r"\]\(.*?\)", "]", text)
    found = re.findall(r"(?<![\w.,/:=-])(?<!TCP )[45]\d\d(?![\w/-]|[.,]\d| ?[KMG]i?B| ?s\b)", prose)
    return sorted({status for status in found if status not in known})


def check_pages() -> None:
    """Checks that pages leave the platforms' figures to docs/limits.md, and lead there."""
    for name in OTHER:
        text = (support.ROOT / "docs" / name).read_text()
        assert not (found := page_faults(name, text)), f"{found}: docs/limits.md has the platforms' figures"
    for name in PAGES:
        found = status_faults(name, (support.ROOT / "docs" / name).read_text())
        assert not found, f"docs/{name}: {found} are statuses that deploy/limits.toml does not have"
    for name in (*PAGES, "configuration.md", "delivery-semantics.md",
                 "security.md"):
        assert "](limits.md" in (support.ROOT / "docs" / name).read_text(), f"docs/{name} does not name docs/limits.md"


def check_breaks() -> None:
    """Checks that each kind of figure, and each bound that is not the table's, is noticed."""
    for text in ("A body has at most 6 MB.", "the 30 s of an HTTP API", "At most 20 variables.", "10,240 bytes",
                 "10,000 requests a second", "| HTTP API | all of it | 30 s |", "It takes 4\nKB."):
        assert page_faults("aws.md", text), f"{text}: nothing noticed"
    assert not page_faults("aws.md", "6 MiB, 30 s, 20 hooks\n```\n6 MB\n```\n")
    assert status_faults("aws.md", "A sender is told 432, or 503.") == ["432"]
    folder = "functiongraph/otc"
    home = support.ROOT / "deploy" / folder
    texts = [(home / "main.tf").read_text(), (home / "variables.tf").read_text()]
    for old, new in (("<= 4096", "<= 8192"), ("<= 20 &&", "<= 30 &&"), ("var.timeout <= 60", "var.timeout <= 90"),
                     ("and 4 KB in all", "and 8 KB in all"), ("takes 20 variables", "takes 30 variables"),
                     ("= 80\n", "= 100\n"), ('["eu-nl"]', '["eu-de"]'), ('"RUNTIME_CPU", ', ""),
                     ("length(local.wrong_names) == 0", "true")):
        changed = [text.replace(old, new) for text in texts]
        assert changed != texts, old
        try:
            check_module(folder, *changed)
        except AssertionError:
            continue
        raise AssertionError(f"{new}: nothing noticed")
