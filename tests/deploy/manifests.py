"""Check of the container manifests: valid by Kubernetes' own schemas, as tight as they say, true to the code.

A Knative Service has no schema here: its Pod is checked as a Pod, what is left of it against the fields and
annotations that Knative documents.
"""
import copy
import pathlib
import re
import sys
import tomllib

import kubernetes_validate
import yaml

from tests.support import ROOT

FOLDER = ROOT / "deploy" / "container"
KUBERNETES = "1.37"
# https://knative.dev/docs/serving/reference/serving-api/, fields of a revision that no Pod has.
KNATIVE_SPEC = {"containerConcurrency", "timeoutSeconds", "responseStartTimeoutSeconds", "idleTimeoutSeconds"}
# Fields of a Pod and of a container that Knative takes without a feature flag.
KNATIVE_POD = KNATIVE_SPEC | {"containers", "volumes", "serviceAccountName", "imagePullSecrets", "enableServiceLinks"}
KNATIVE_CONTAINER = {
    "name", "image", "imagePullPolicy", "command", "args", "workingDir", "env", "envFrom", "ports", "resources",
    "livenessProbe", "readinessProbe", "startupProbe", "volumeMounts", "securityContext",
}
KNATIVE_SECURITY = {
    "runAsUser", "runAsNonRoot", "readOnlyRootFilesystem", "allowPrivilegeEscalation", "capabilities", "seccompProfile",
}
# https://knative.dev/docs/serving/autoscaling/
KNATIVE_ANNOTATIONS = {
    "class": r"kpa\.autoscaling\.knative\.dev", "metric": "rps|concurrency", "target": r"[1-9]\d*",
    "min-scale": r"\d+", "max-scale": r"\d+", "scale-down-delay": r"\d+[smh]",
}
PROBES = {"livenessProbe": "/_/health", "readinessProbe": "/_/ready"}


def documents(name: str) -> list[dict]:
    return [document for document in yaml.safe_load_all((FOLDER / name).read_text()) if document]


def validate(document: dict) -> None:
    kubernetes_validate.validate(document, KUBERNETES, strict=True)


def check_pod(name: str, spec: dict) -> None:
    """Checks that the Pod is as tight as Kubernetes' restricted profile, and tighter."""
    (container,) = spec["containers"]
    security = spec.get("securityContext", {}) | container["securityContext"]
    assert security["runAsNonRoot"] is True and security["runAsUser"] == 65532, name
    assert security["readOnlyRootFilesystem"] is True, name
    assert security["allowPrivilegeEscalation"] is False, name
    assert security["capabilities"] == {"drop": ["ALL"]}, name
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}, name
    assert container["command"] in (["/tdmq"], ["/rocketmq"], ["/redrive"]), name
    for probe, path in PROBES.items():
        assert container[probe]["httpGet"]["path"] == path, f"{name}: {probe}"
    assert "memory" in container["resources"]["limits"], name
    documented = set(re.findall(r"`([A-Z][A-Z0-9_]+)`", (ROOT / "docs" / "configuration.md").read_text()))
    given = [variable for variable in container["env"] if "value" in variable]
    # What Kubernetes fills in is for others' values only, and stands before them.
    for at, variable in enumerate(container["env"]):
        if variable not in given:
            users = [other for other in container["env"][at:] if f"$({variable['name']})" in other.get("value", "")]
            assert users, f"{name}: nothing uses {variable['name']}"
    for variable in given:
        assert variable["name"] in documented, f"{name}: {variable['name']} is in no documentation"
    # What a variable or a hook names must be mounted, and no secret may stand in the environment.
    mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
    volumes = {volume["name"] for volume in spec["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == volumes, name
    for variable in given:
        path = variable["value"].removeprefix("file:")
        if path.startswith("/"):
            assert str(pathlib.PurePath(path).parent) in mounts, f"{name}: {path} is not mounted"
        if re.search("SECRET|KEY|TOKEN|PASSWORD", variable["name"]):
            assert variable["value"].startswith("file:"), f"{name}: {variable['name']} is in the environment"


# Seconds from SIGTERM to the end, at most, by default: answering on, and then the drain (docs/configuration.md).
STOPPING = {"DRAIN_AFTER": 3, "DRAIN_WITHIN": 6}


def check_rollout(name: str, spec: dict, config: dict, grace: int) -> None:
    """Checks that a rollout with a mistake stops at its first Pod, that each Pod has its own rollout's file,
    and that none is cut off."""
    (container,) = spec["containers"]
    env = {variable["name"]: variable.get("value") for variable in container["env"]}
    assert env.get("READY") == "all", f"{name}: a mistake would not stop the rollout"
    named = [volume["configMap"]["name"] for volume in spec["volumes"] if "configMap" in volume]
    assert named == [config["metadata"]["name"]], f"{name}: {named}"
    assert config.get("immutable") is True and re.fullmatch(r"hookmq-[1-9]\d*", named[0]), f"{name}: {named}"
    sleep = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    stopping = sum(int(env.get(variable, seconds)) for variable, seconds in STOPPING.items())
    assert grace > sleep + stopping, f"{name}: {grace} s are not more than {sleep} s and {stopping} s"


def check_redrive(found: list[dict]) -> None:
    """Checks that each shard has one Pod, and that only peers that are named can start a run."""
    by_kind = {document["kind"]: document for document in found}
    assert set(by_kind) == {"StatefulSet", "Service", "NetworkPolicy"} and len(found) == 3, by_kind.keys()
    pods = by_kind["StatefulSet"]
    spec, labels = pods["spec"], pods["spec"]["template"]["metadata"]["labels"]
    assert spec["selector"]["matchLabels"] == labels, "each policy and Service below is about these Pods"
    (container,) = spec["template"]["spec"]["containers"]
    env = {variable["name"]: variable for variable in container["env"]}
    field = env["POD_INDEX"]["valueFrom"]["fieldRef"]["fieldPath"]
    assert field == "metadata.labels['apps.kubernetes.io/pod-index']", field
    index, shards = env["REDRIVE_SHARD"]["value"].split("/")
    assert index == "$(POD_INDEX)" and int(shards) in (1, 2, 4, 8), env["REDRIVE_SHARD"]
    assert spec["replicas"] == int(shards), "a shard that no Pod has is never sent"
    assert spec["podManagementPolicy"] == "Parallel" and spec["template"]["spec"]["terminationGracePeriodSeconds"] >= 60
    service = by_kind["Service"]
    assert spec["serviceName"] == service["metadata"]["name"] and service["spec"]["clusterIP"] == "None"
    assert service["spec"]["selector"] == labels
    policy = by_kind["NetworkPolicy"]["spec"]
    assert policy["podSelector"] == {"matchLabels": labels} and policy["policyTypes"] == ["Ingress"]
    for rule in policy["ingress"]:
        assert rule.get("from") and rule.get("ports"), "a rule without these lets everybody in"
        for peer in rule["from"]:
            assert peer.keys() == {"namespaceSelector", "podSelector"}, peer
            assert all(selector.get("matchLabels") for selector in peer.values()), "an empty selector is everybody"
        assert rule["ports"] == [{"protocol": "TCP", "port": "http"}]
    assert container["ports"] == [{"name": "http", "containerPort": 8080}]


def check_values(name: str, spec: dict, hooks: dict) -> None:
    """Checks that the examples are values that the vendors could have."""
    (container,) = spec["containers"]
    env = {variable["name"]: variable.get("value", "") for variable in container["env"]}
    region = env["TENCENTCLOUD_REGION"]
    assert re.fullmatch(r"(ap|eu|na|sa)-[a-z]+(-\d)?", region), f"{name}: {region}"
    if "SPILL_URL" in env:
        # https://www.tencentcloud.com/document/product/436/13312: a bucket's name ends in the account's APPID.
        bucket = env["SPILL_URL"]
        assert re.fullmatch(r"s3://[a-z0-9][a-z0-9-]*-\d{10}(/[\w./-]+)?", bucket), f"{name}: {bucket}"
        assert env["S3_ENDPOINT"] == f"https://cos.{env['S3_REGION']}.myqcloud.com" and env["S3_REGION"] == region, name
    for hook in hooks.values():
        assert re.fullmatch(r"pulsar-[0-9a-z]{12}/[\w-]{1,16}/[\w.-]+", hook["topic"]), f"{name}: {hook['topic']}"


def check_breaks() -> None:
    """Breaks the manifests of the redriver, each time in a way that the cluster would apply silently."""
    def broken(change) -> list[dict]:
        found = {document["kind"]: document for document in documents("redrive.yaml")}
        change(found)
        return list(found.values())

    env = lambda found: found["StatefulSet"]["spec"]["template"]["spec"]["containers"][0]["env"]
    ingress = lambda found: found["NetworkPolicy"]["spec"]["ingress"][0]
    for name, change in {
        "no policy": lambda found: found.pop("NetworkPolicy"),
        "a policy for other Pods": lambda found: found["NetworkPolicy"]["spec"].update(podSelector={"matchLabels": {"a": "b"}}),
        "a policy for everybody": lambda found: ingress(found).pop("from"),
        "a policy for a whole namespace": lambda found: ingress(found)["from"][0].pop("podSelector"),
        "a policy for all namespaces": lambda found: ingress(found)["from"][0].update(namespaceSelector={}),
        "more shards than Pods": lambda found: env(found)[2].update(value="$(POD_INDEX)/4"),
        "more Pods than shards": lambda found: found["StatefulSet"]["spec"].update(replicas=2),
        "a number that is none": lambda found: (env(found)[2].update(value="$(POD_INDEX)/3"),
                                                found["StatefulSet"]["spec"].update(replicas=3)),
        "each Pod the first shard": lambda found: env(found)[2].update(value="0/1"),
    }.items():
        check_redrive(documents("redrive.yaml"))
        try:
            check_redrive(broken(change))
        except (AssertionError, KeyError, ValueError):
            continue
        raise AssertionError(f"{name}: nothing noticed")


def check_rules(groups: list[dict]) -> None:
    """Checks that an alert rings for each silent shard of the redriver, and that each metric is exported."""
    rules = {rule["alert"]: rule for group in groups for rule in group["rules"]}
    exported = (ROOT / "shared" / "src" / "metrics" / "prometheus.rs").read_text()
    for name, rule in rules.items():
        metrics = set(re.findall(r"hookmq_\w+", rule["expr"]))
        assert metrics and all(f'"{metric}"' in exported for metric in metrics), f"{name}: {metrics}"
        assert rule["annotations"]["summary"] and rule["labels"]["severity"], name
        assert rule["expr"].count("(") == rule["expr"].count(")"), name
    absent, silent = rules["HookmqRedriveAbsent"], rules["HookmqRedriveSilent"]
    assert absent["expr"] == "absent(hookmq_redrive_interval_seconds)" and absent["for"] == "15m"
    # Without the zero there would be no series to compare where no Pod ran; without the shards' own number, one that
    # is silent is hidden by the others, or somebody has to write it once more.
    ran = "count by (shard) (hookmq_redrive_since_run_seconds < 3 * hookmq_redrive_interval_seconds)"
    assert silent["expr"] == f"(count({ran}) or vector(0)) < (max(hookmq_redrive_shards) or vector(1))", silent["expr"]
    for name, rule in rules.items():
        windows = re.findall(r"\[(\w+)\]", rule["expr"])
        is_of_interval = name.startswith("HookmqRedrive") and windows
        assert not is_of_interval or "hookmq_redrive_failures_in_a_row) >= 2" in rule["expr"], f"{name}: a long interval"
    for name, rule in rules.items():
        # What nobody verified rings its own, but for what no request brings about.
        outcomes = re.findall(r'outcome=~?"([\w|]+)"', rule["expr"])
        unverified = {"rejected", "unverified", "refused"} & set("|".join(outcomes).split("|"))
        is_ours = 'class=~"secret|clock"' in rule["expr"]
        assert bool(unverified and not is_ours) == name.startswith("HookmqStrangers"), f"{name}: strangers ring it"
        says = rule["annotations"]["summary"].startswith("Strangers")
        assert (rule["labels"]["severity"] == "warning") == name.startswith("HookmqStrangers") == says, name
    assert 'result="failed"' in rules["HookmqRedriveFails"]["expr"] and "HookmqSpillOld" in rules


def check_rule_breaks(groups: list[dict]) -> None:
    check_rules(groups)
    rules = lambda groups: {rule["alert"]: rule for group in groups for rule in group["rules"]}
    for name, change in {
        "no silence": lambda groups: groups[0]["rules"].pop(1),
        "no absence": lambda groups: groups[0]["rules"].pop(0),
        "a metric that nobody exports": lambda groups: groups[0]["rules"][0].update(expr="absent(hookmq_runs_total)"),
        "no zero": lambda groups: rules(groups)["HookmqRedriveSilent"].update(
            expr=rules(groups)["HookmqRedriveSilent"]["expr"].replace(" or vector(0)", "")),
        "a number of shards": lambda groups: rules(groups)["HookmqRedriveSilent"].update(
            expr=rules(groups)["HookmqRedriveSilent"]["expr"].replace("max(hookmq_redrive_shards)", "vector(1)")),
        "failures of short intervals only": lambda groups: rules(groups)["HookmqRedriveFails"].update(
            expr=rules(groups)["HookmqRedriveFails"]["expr"].split(" or ")[0]),
    }.items():
        broken = copy.deepcopy(groups)
        change(broken)
        try:
            check_rules(broken)
        except (AssertionError, KeyError):
            continue
        raise AssertionError(f"{name}: nothing noticed")


def check_value_breaks() -> None:
    spec = documents("redrive.yaml")[0]["spec"]["template"]["spec"]
    hooks = {"github": {"topic": "pulsar-0123456789ab/webhooks/github"}}
    check_values("sound", spec, hooks)
    for name, old, new in (("a bucket without an APPID", "-1250000000", ""), ("another region", "cos.eu-", "cos.ap-"),
                           ("no region", "eu-frankfurt", "europe")):
        broken = copy.deepcopy(spec)
        for variable in broken["containers"][0]["env"]:
            if "value" in variable:
                variable["value"] = variable["value"].replace(old, new)
        try:
            check_values(name, broken, hooks)
        except AssertionError:
            continue
        raise AssertionError(f"{name}: nothing noticed")


def check_rollout_breaks(config: dict) -> None:
    """Breaks the manifests of a rollout, each time in a way that the cluster would apply silently."""
    spec = documents("kubernetes.yaml")[1]["spec"]["template"]["spec"]
    check_rollout("sound", spec, config, 15)
    env = lambda spec: spec["containers"][0]["env"]
    for name, change in {
        "any hook is enough": lambda spec, config: env(spec)[-1].update(value="any"),
        "nothing is asked for": lambda spec, config: env(spec).pop(),
        "a file that changes": lambda spec, config: config.pop("immutable"),
        "another rollout's file": lambda spec, config: config["metadata"].update(name="hookmq-2"),
        "a file without a number": lambda spec, config: (config["metadata"].update(name="hookmq"),
                                                         spec["volumes"][0]["configMap"].update(name="hookmq")),
        "a longer drain": lambda spec, config: env(spec).append({"name": "DRAIN_WITHIN", "value": "7"}),
        "a longer sleep": lambda spec, config: spec["containers"][0]["lifecycle"]["preStop"]["sleep"].update(seconds=6),
    }.items():
        broken = copy.deepcopy((spec, config))
        change(*broken)
        try:
            check_rollout(name, *broken, 15)
        except AssertionError:
            continue
        raise AssertionError(f"{name}: nothing noticed")


def check_kubernetes() -> dict:
    check_redrive(documents("redrive.yaml"))
    found = documents("kubernetes.yaml") + documents("redrive.yaml")
    for document in found:
        validate(document)
    by_kind = {}
    for document in found:
        by_kind.setdefault(document["kind"], []).append(document)
    for deployment in by_kind["Deployment"] + by_kind["StatefulSet"]:
        name, template = deployment["metadata"]["name"], deployment["spec"]["template"]
        labels = template["metadata"]["labels"]
        assert deployment["spec"]["selector"]["matchLabels"].items() <= labels.items(), name
        check_pod(name, template["spec"])
        (config,) = by_kind["ConfigMap"]
        check_rollout(name, template["spec"], config, template["spec"]["terminationGracePeriodSeconds"])
        check_values(name, template["spec"], tomllib.loads(config["data"]["hooks.toml"])["hooks"])
    scaled = by_kind["Deployment"][0]
    (service, _), (budget,), (scaler,) = (
        by_kind[kind] for kind in ("Service", "PodDisruptionBudget", "HorizontalPodAutoscaler")
    )
    labels = scaled["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"].items() <= labels.items()
    assert budget["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert scaler["spec"]["scaleTargetRef"]["name"] == scaled["metadata"]["name"]
    assert budget["spec"]["minAvailable"] < scaler["spec"]["minReplicas"], "a node could never be drained"
    assert "replicas" not in scaled["spec"], "an apply would undo what the scaler did"
    # The metric is one that hookmq exports, and the adapter's rule names it.
    metric = scaler["spec"]["metrics"][0]["pods"]["metric"]["name"]
    assert f"`{metric}`" in (ROOT / "docs" / "configuration.md").read_text()
    (rule,) = documents("prometheus-adapter.yaml")[0]["rules"]["custom"]
    assert rule["name"]["as"] == metric and rule["seriesQuery"].startswith(metric)
    # "The query is expected to return one value for each object requested": kubernetes-sigs/prometheus-adapter,
    # docs/config.md. A Pod that is scraped twice has two series.
    query = rule["metricsQuery"]
    assert re.fullmatch(r"(max|sum)\(.+\) by \(<<\.GroupBy>>\)", query), f"several values for a Pod: {query}"
    check_rule_breaks(documents("prometheus-rules.yaml")[0]["groups"])
    return config


def check_knative(config: dict) -> None:
    (service,) = documents("knative.yaml")
    assert service["apiVersion"] == "serving.knative.dev/v1" and service["kind"] == "Service"
    assert set(service) == {"apiVersion", "kind", "metadata", "spec"} and set(service["spec"]) == {"template"}
    template = service["spec"]["template"]
    for key, value in template["metadata"]["annotations"].items():
        domain, name = key.split("/")
        assert domain == "autoscaling.knative.dev" and re.fullmatch(KNATIVE_ANNOTATIONS[name], value), key
    assert set(template["spec"]) <= KNATIVE_POD, set(template["spec"]) - KNATIVE_POD
    spec = copy.deepcopy(template["spec"])
    for field in KNATIVE_SPEC & set(spec):
        assert isinstance(spec.pop(field), int), field
    (container,) = spec["containers"]
    assert set(container) <= KNATIVE_CONTAINER, set(container) - KNATIVE_CONTAINER
    assert set(container["securityContext"]) <= KNATIVE_SECURITY
    assert container["ports"] == [{"name": "http1", "containerPort": 8080}]
    names = {variable["name"] for variable in container["env"]}
    # Knative sets PORT and refuses it in a manifest; LISTEN would win over it.
    assert not names & {"PORT", "LISTEN"}
    check_pod("knative", spec)
    check_values("knative", spec, {})
    # https://knative.dev/docs/serving/configuration/config-defaults/: the grace is the revision's time-out.
    check_rollout("knative", spec, config, template["spec"]["timeoutSeconds"])
    # A name and the probes' port, which Knative fills in, make a Pod of it.
    container["name"] = "user-container"
    for probe in PROBES:
        container[probe]["httpGet"]["port"] = 8080
    validate({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": spec})


def main() -> int:
    config = check_kubernetes()
    check_breaks()
    check_value_breaks()
    check_rollout_breaks(config)
    check_knative(config)
    hooks = tomllib.loads(config["data"]["hooks.toml"])["hooks"]
    assert all(s.startswith("file:/etc/hookmq/secrets/") for hook in hooks.values() for s in hook["secrets"])
    # The checks can fail.
    broken = documents("kubernetes.yaml")[1]
    broken["spec"]["template"]["spec"]["containers"][0]["livenesProbe"] = {}
    try:
        validate(broken)
    except kubernetes_validate.ValidationError:
        print("manifests: valid")
        return 0
    raise AssertionError("an unknown field passed")


if __name__ == "__main__":
    sys.exit(main())
