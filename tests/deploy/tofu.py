"""Check of the Terraform modules with OpenTofu: validated, planned and applied, with the providers' schemas.

The providers themselves are not needed: `provider/` serves the arguments of `schema.json`, for the oldest and for the
newest version of each, and makes nothing. Both programs are built with Go, once, into `target/`.
"""
import hashlib
import json
import os
import pathlib
import platform
import re
import subprocess
import tempfile

from tests import golang, support
from tests.deploy import limits, schemas
from tests.deploy.packages import DEPLOY, MODULES

VERSION = "1.12.6"
# The fork that OpenTofu's own go.mod replaces a library by; Go reads that line of the main module alone.
GO_MOD = f"""module tofu

go 1.25.0

require github.com/opentofu/opentofu v{VERSION}

replace github.com/hashicorp/hcl/v2 => github.com/opentofu/hcl/v2 v2.20.2-0.20251021132045-587d123c2828
"""
PROVIDER = pathlib.Path(__file__).with_name("provider")

ID = "0123456789abcdef0123456789abcdef"
FUNCTIONGRAPH = {"project_id": ID, "project_name": "eu-de", "rocketmq_instance_id": support.INSTANCE_ID,
                 "gateway_id": "fedcba9876543210fedcba9876543210"}
VARIABLES = {
    "tencent-scf": {"cls_notices": ["notice-0123"]},
    "functiongraph/otc": FUNCTIONGRAPH | {"kms_id": "11111111-2222-3333-4444-666666666666",
                                          "alarm_topic": f"urn:smn:eu-de:{ID}:ops", "alarm_user": "ops"},
    "functiongraph/huawei": FUNCTIONGRAPH | {"alarm_topic": f"urn:smn:ap-southeast-3:{ID}:ops", "alarm_user": "ops"},
}
SECRETS = {"GITHUB_SECRET": "the-first-secret-of-a-test-0123"}


def built(home: pathlib.Path, module: str | None, folder: pathlib.Path, package: str) -> pathlib.Path:
    """Returns a program, which is built with Go if need be."""
    binary = home / package.rsplit("/", 1)[-1].replace(".", "provider")
    if binary.exists():
        return binary
    go, env = golang.program()
    home.mkdir(parents=True, exist_ok=True)
    if module:
        (home / "go.mod").write_text(module)
    env |= {"GOFLAGS": "-modcacherw -mod=mod" if module else "-modcacherw -mod=readonly"}
    subprocess.run([go, "build", "-trimpath", "-ldflags=-s -w", "-o", binary, package], cwd=folder, env=env, check=True)
    return binary


def programs() -> tuple[pathlib.Path, pathlib.Path]:
    """Returns OpenTofu and the provider."""
    home = support.TARGET.resolve() / f"tofu-{VERSION}"
    tofu = built(home, GO_MOD, home, "github.com/opentofu/opentofu/cmd/tofu")
    text = b"".join(path.read_bytes() for path in sorted(PROVIDER.iterdir()))
    home = support.TARGET.resolve() / f"provider-{hashlib.sha256(text).hexdigest()[:16]}"
    return tofu, built(home, None, PROVIDER, ".")


def mirror(home: pathlib.Path, provider: pathlib.Path, version: str) -> pathlib.Path:
    """Makes the folder from which `tofu init` takes its providers: one version of each."""
    system = f"linux_{golang.MACHINES[platform.machine()]}"
    for name, schema in schemas.load().items():
        folder = home / "registry.opentofu.org" / schema["source"] / schema[version] / system
        folder.mkdir(parents=True)
        served = folder / "schema.json"
        served.write_text(json.dumps({"Provider": schema["provider"], "Types": schemas.types(schema, version)}))
        program = folder / f"terraform-provider-{name}_v{schema[version]}"
        program.write_text(f"#!/bin/sh\nexec {provider} {served}\n")
        program.chmod(0o755)
    return home


class Module:
    """A copy of a module, in a folder of its own, with packages that say nothing."""

    def __init__(self, tofu: pathlib.Path, home: pathlib.Path, folder: str, providers: pathlib.Path,
                 change: tuple[str, str] = ("", "")):
        self.tofu, self.name, self.plans = tofu, folder, 0
        self.home, self.packages = home / "module", home / "packages"
        self.home.mkdir(parents=True)
        for path in (DEPLOY / folder).glob("*.tf"):
            (self.home / path.name).write_text(path.read_text().replace(*change))
        self.packages.mkdir()
        self.variables = VARIABLES[folder] | {"packages": str(self.packages), "hook_secrets": SECRETS}
        for kind in ("event-redrive", *(f"{kind}-{function}" for kind in ("event", "scf-web", "functiongraph-http")
                                        for function in ("tdmq", "rocketmq"))):
            self.package(kind, b"as it was")
        self.run("init", "-no-color", f"-plugin-dir={providers}")

    def package(self, name: str, text: bytes) -> None:
        """Writes a package, as `deploy/package` names it."""
        for old in self.packages.glob(f"{name}*.zip"):
            old.unlink()
        for path in (f"{name}.zip", f"{name}-{hashlib.sha256(text).hexdigest()[:16]}.zip"):
            (self.packages / path).write_bytes(text)

    def run(self, *arguments: str, expected: tuple = (0,), **variables) -> str:
        """Runs OpenTofu and returns what it says, and fails where it ends otherwise than expected."""
        values = {f"TF_VAR_{name}": value if isinstance(value, str) else json.dumps(value)
                  for name, value in (self.variables | variables).items()}
        env = {"PATH": os.environ["PATH"], "HOME": str(self.home), "CHECKPOINT_DISABLE": "1", "TF_IN_AUTOMATION": "1",
               # Of another stack: neither may be taken.
               "OS_TENANT_NAME": "of-another-stack", "OS_REGION": "of-another-stack", **values}
        run = subprocess.run([self.tofu, *arguments], cwd=self.home, env=env, text=True, capture_output=True)
        said = run.stdout + run.stderr
        command = f"{self.name}: tofu {' '.join(arguments)}"
        assert run.returncode in expected, f"{command} ended with {run.returncode}:\n{said}"
        return said

    def plan(self, **variables) -> dict[str, list[str]]:
        """Returns what a plan does with each resource that it changes."""
        self.plans += 1
        self.run("plan", "-no-color", "-input=false", "-out=plan", **variables)
        plan = json.loads(self.run("show", "-json", "plan"))
        return {change["address"]: change["change"]["actions"] for change in plan["resource_changes"]
                if change["mode"] == "managed" and change["change"]["actions"] != ["no-op"]}

    def apply(self, **variables) -> dict:
        """Applies what `plan` planned last, and returns the outputs."""
        self.run("apply", "-no-color", "-input=false", "plan", **variables)
        return {name: output["value"] for name, output in json.loads(self.run("output", "-json", **variables)).items()}

    def refused(self, words: str, **variables) -> None:
        self.plans += 1
        said = self.run("plan", "-no-color", "-input=false", expected=(1,), **variables)
        assert words in re.sub(r"[\s│]+", " ", said), f"{self.name}: {words} is not in:\n{said}"


REPLACED = (["delete", "create"], ["create", "delete"])


def check_replaced(changes: dict, kinds: tuple, name: str) -> None:
    for kind in kinds:
        found = [address for address in changes if re.match(rf"\w+{kind}", address)]
        assert found and all(changes[address] in REPLACED for address in found), f"{name}: {kind}: {changes}"


# The page of each module, and its words for how many resources an apply makes.
PAGES = {
    "tencent-scf": ("tencent-cloud.md", "Resources: {} added"),
    "functiongraph/otc": ("otc-huawei-cloud.md", "Resources: {} added"),
    "functiongraph/huawei": ("otc-huawei-cloud.md", "On Huawei Cloud there are {} resources."),
}


def check_life(module: Module) -> None:
    """Makes what a module describes, and changes it as a person would."""
    is_scf = module.name == "tencent-scf"
    other = "event" if is_scf else "custom"
    module.run("validate", "-no-color")
    made = module.plan()
    assert set(map(tuple, made.values())) == {("create",)}, made
    outputs = module.apply()
    if not is_scf:
        # The gateway's own answer, and nothing that was made of a region.
        assert outputs["url"].startswith("https://sl_domain-of-"), outputs
    same = module.plan()
    assert same == {}, f"{module.name}: a plan differs though nothing changed: {same}"
    # New code and new hooks deploy, of both functions.
    module.package("scf-web-tdmq" if is_scf else "functiongraph-http-rocketmq", b"as it is now")
    module.package("event-redrive", b"as it is now")
    changed = module.plan()
    assert len(changed) == 2 and all(action == ["update"] and "_function" in address
                                     for address, action in changed.items()), f"{module.name}: {changed}"
    module.apply()
    assert module.plan() == {}, module.name
    # A deployment of an earlier module has no such resources: OpenTofu replaces its triggers once, which Terraform does
    # not, and its functions stay.
    if not is_scf:
        module.run("state", "rm", "terraform_data.gateway", "terraform_data.timer[0]")
        if module.name == "functiongraph/otc":
            role = "opentelekomcloud_identity_role_v3.redrive"
            module.run("state", "mv", f'{role}["project"]', f"{role}[0]")
        upgraded = module.plan()
        assert len(upgraded) == 4 and not any(re.search(r"_function(_v2)?\.", name) for name in upgraded), upgraded
        check_replaced(upgraded, ("_trigger",), "an upgrade")
        module.apply()
    # A gateway learns of a new time-out by a new trigger alone.
    if not is_scf:
        check_replaced(module.plan(timeout=45), ("_trigger",), "a new time-out")
    # More shards: timers that name them, and the public address stays.
    changed = module.plan(redrive_shards=2)
    assert any("trigger" in address and "timer" in address for address in changed), changed
    assert not any("gateway" in address or "url" in address for address in changed), changed
    # The other kind is another function.
    changed = module.plan(kind=other)
    check_replaced({address: action for address, action in changed.items() if "redrive" not in address
                    and "timer" not in address and "terraform_data" not in address},
                   (r"_function(_v2)?\.", "_trigger"), "another kind")
    module.apply(kind=other)


def check_limits(module: Module) -> None:
    """Asks for what a platform refuses, and for other regions."""
    platform = limits.PLATFORMS[module.name]
    size, timeout = (limits.least(platform, what) for what in ("variables-size", "timeout"))
    module.refused("4 KB", hook_secrets={"GITHUB_SECRET": "x" * (size + 1)})
    module.refused(f"to {timeout}.", timeout=timeout + 1)
    module.refused(f"to {timeout}.", timeout=30.5)
    for name, wrong in (("memory", 100), ("log_days", 0), ("log_days", 4000), ("claim_days", 0), ("claim_days", 1.5)):
        module.refused(f"var.{name}", **{name: wrong})
    # Names that the table lists, and one that has no such form.
    for row in limits.rows(platform, "variable-reserved"):
        for name in (row["value"][0], row["value"][-1]):
            module.refused("takes names of", environment={name.replace("*", "NAME"): "x"})
    module.refused("takes names of", hook_secrets={"GITHUB-SECRET": "x"})
    if module.name == "tencent-scf":
        module.refused("1 to 100.", concurrency=101)
        return
    module.refused("1 to 1000.", concurrency=0)
    module.refused("1 to 1000.", max_instances=0)
    module.refused("32 hexadecimal digits", project_id="eu-de")
    count = limits.least(platform, "variables-count")
    module.refused("20 encrypted variables", hook_secrets={f"SECRET_{index}": "x" for index in range(count + 1)})
    module.refused("20 variables", environment={f"NAME_{index}": "x" for index in range(count)})
    for row in limits.rows(platform, "region-lacks"):
        for region in row["value"]:
            module.refused("docs/limits.md", region=region)
    if module.name == "functiongraph/otc":
        # A bucket is encrypted, or somebody decided otherwise; without a bucket there is nothing to encrypt.
        key = module.variables.pop("kms_id")
        module.refused("kms_id: is not set: write the key that encrypts the bucket")
        assert not any("obs_bucket" in address for address in module.plan(spill=False)), "a bucket without spill"
        assert any("obs_bucket" in address for address in module.plan(kms_id="")), "an open bucket on purpose"
        module.variables["kms_id"] = key
    region, host = {"functiongraph/otc": ("eu-ch2", "eu-ch2.sc.otc.t-systems.com"),
                    "functiongraph/huawei": ("eu-west-101", "eu-west-101.myhuaweicloud.eu")}[module.name]
    module.plan(region=region)
    planned = json.dumps(json.loads(module.run("show", "-json", "plan"))["planned_values"])
    assert f"https://obs.{host}" in planned and f"https://dms.{host}" in planned, f"{module.name}: {region}"
    assert "eu-de.otc" not in planned and "myhuaweicloud.com" not in planned, f"{module.name}: two regions in one plan"


def check_own(module: Module) -> None:
    """Checks the variables that the module sets itself against those that `hookmq check --deploy` counts."""
    module.plan()
    resources = json.loads(module.run("show", "-json", "plan"))["planned_values"]["root_module"]["resources"]
    (forwarder,) = [resource["values"] for resource in resources
                    if "_function" in resource["type"] and resource["name"] == "forwarder"]
    planned = forwarder.get("environment") or json.loads(forwarder["user_data"])
    limits.check_own(module.name, limits.PLATFORMS[module.name],
                     {name: value for name, value in planned.items() if name not in SECRETS})


def check_page(module: Module) -> None:
    """Checks the number of resources that a page says."""
    for name in ("cls_notices", "alarm_topic", "alarm_user"):
        module.variables.pop(name, None)
    page, words = PAGES[module.name]
    text, made = (support.ROOT / "docs" / page).read_text(), len(module.plan())
    assert words.format(made) in text, f"{page}: {module.name}: {made} are made"


# What broke once, put back.
BREAKS = (
    ("tencent-scf", "a package without its digest", (
        '-${substr(filesha256("${var.packages}/${name}.zip"), 0, 16)}.zip', ".zip")),
    ("tencent-scf", "another kind in place", ('${var.kind == "web" ? "" : "-event"}', "")),
    ("functiongraph/otc", "the project of the environment", ('tenant_name = ""', "")),
    ("functiongraph/otc", "the region of the environment", ("region      = var.region", "")),
    ("functiongraph/otc", "a project's provider", ("provider      = opentelekomcloud.domain", "")),
    ("functiongraph/otc", "a trigger that is compared", ("ignore_changes       = [event_data]", "")),
    ("functiongraph/huawei", "a trigger that stays", ("replace_triggered_by = [terraform_data.gateway]", "")),
    ("functiongraph/huawei", "an argument of no version", ("sse_algorithm ", "sse_algorithms ")),
)


def check_breaks(tofu: pathlib.Path, home: pathlib.Path, providers: pathlib.Path) -> None:
    """Puts old mistakes back, each of which must be noticed."""
    for index, (folder, name, change) in enumerate(BREAKS):
        assert any(change[0] in path.read_text() for path in (DEPLOY / folder).glob("*.tf")), f"{folder}: {name}"
        try:
            check_life(Module(tofu, home / f"break-{index}", folder, providers, change))
        except AssertionError:
            continue
        raise AssertionError(f"{folder}: {name}: nothing noticed")


def main() -> None:
    tofu, provider = programs()
    count = 0
    for version in schemas.VERSIONS:
        with tempfile.TemporaryDirectory() as home:
            home = pathlib.Path(home)
            providers = mirror(home / "mirror", provider, version)
            for folder in MODULES:
                module = Module(tofu, home / folder, folder, providers)
                if version == "newest":
                    check_page(module)
                    module.variables |= VARIABLES[folder]
                    check_limits(module)
                    check_own(module)
                check_life(module)
                count += module.plans
            if version == "newest":
                check_breaks(tofu, home, providers)
    env = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "CHECKPOINT_DISABLE": "1"}
    subprocess.run([tofu, "fmt", "-check", "-recursive", DEPLOY], check=True, env=env)
    print(f"{len(MODULES)} modules with two versions of each provider: {count} plans; {len(BREAKS)} mistakes noticed")


if __name__ == "__main__":
    main()
