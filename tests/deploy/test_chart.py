"""The Helm chart, rendered by the real helm, and held against the schemas of Kubernetes and of two operators."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from typing import Any

import kubernetes_validate
import pytest
import yaml
from cloudcoil.models.keda.v1alpha1 import ScaledObject, TriggerAuthentication
from cloudcoil.models.prometheus_operator.v1 import PrometheusRule, ServiceMonitor

from pelton.shell.guard import TOKEN_VARIABLE
from pelton.testing.deployment.__main__ import read_settings
from pelton.testing.deployment.environment import worker_environment
from tests.deploy.settings import ROOT, known_settings

CHART = ROOT / "deploy" / "helm" / "pelton"
#: Their oldest and the newest that the schemas know.
KUBERNETES = ("1.27", "1.37")
VALUES = {
    "default": (),
    "minimal": (CHART / "ci" / "minimal-values.yaml",),
    "production": (CHART / "ci" / "production-values.yaml",),
}
#: What an operator brings, by kind: the schema it publishes, as types.
OPERATORS: dict[str, Any] = {
    "ScaledObject": ScaledObject,
    "TriggerAuthentication": TriggerAuthentication,
    "ServiceMonitor": ServiceMonitor,
    "PrometheusRule": PrometheusRule,
}
Manifest = dict[str, Any]


def helm_program() -> str:
    program = os.environ.get("HELM") or shutil.which("helm")
    if program is None:
        told = "helm is not installed: `make helm` builds it"
        pytest.fail(told) if os.environ.get("CI") == "true" else pytest.skip(told)
    return program


def helm(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([helm_program(), *words], capture_output=True, text=True, check=False)


@cache
def render(values: str, version: str = KUBERNETES[-1]) -> list[Manifest]:
    given = [word for file in VALUES[values] for word in ("--values", str(file))]
    done = helm("template", "bank", str(CHART), "--namespace", "streams", "--kube-version", version, *given)
    assert done.returncode == 0, done.stderr
    return [one for one in yaml.safe_load_all(done.stdout) if one]


def refused(*words: str) -> str:
    done = helm("template", "bank", str(CHART), "--kube-version", KUBERNETES[-1], *words)
    assert done.returncode != 0, done.stdout
    return done.stderr


def one(manifests: list[Manifest], kind: str, name: str = "") -> Any:
    (found,) = [each for each in manifests if each["kind"] == kind and each["metadata"]["name"].endswith(name)]
    return found


def pods(manifests: list[Manifest]) -> Iterator[Any]:
    return (each["spec"]["template"]["spec"] for each in manifests if each["kind"] in ("StatefulSet", "Job"))


@pytest.fixture(scope="module", params=VALUES)
def manifests(request: pytest.FixtureRequest) -> list[Manifest]:
    return render(request.param)


@pytest.fixture(scope="module")
def production() -> list[Manifest]:
    return render("production")


@pytest.mark.parametrize("values", VALUES)
def test_helm_finds_nothing_to_say(values: str) -> None:
    given = [word for file in VALUES[values] for word in ("--values", str(file))]
    done = helm("lint", "--strict", str(CHART), *given)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("values", VALUES)
@pytest.mark.parametrize("version", KUBERNETES)
def test_kubernetes_takes_it(values: str, version: str) -> None:
    manifests = render(values, version)
    assert manifests
    for manifest in manifests:
        if manifest["kind"] not in OPERATORS:
            kubernetes_validate.validate(manifest, version, strict=True)


def test_the_operators_take_it(production: list[Manifest]) -> None:
    theirs = [each for each in production if each["kind"] in OPERATORS]
    assert {each["kind"] for each in theirs} == set(OPERATORS)
    for manifest in theirs:
        typed = OPERATORS[manifest["kind"]].model_validate(manifest)
        # What has no place in the type is left out without a word, so everything must come back.
        assert json.loads(typed.model_dump_json(by_alias=True, exclude_unset=True)) == manifest


def test_every_variable_is_a_setting(manifests: list[Manifest]) -> None:
    known = known_settings()
    for pod in pods(manifests):
        names = [variable["name"] for container in pod["containers"] for variable in container["env"]]
        assert set(names) - known == set()
        assert len(set(names)) == len(names), "one that is there twice"


def test_secrets_are_only_referred_to(production: list[Manifest]) -> None:
    secret = re.compile("TOKEN|PASSWORD|USERNAME|SECRET|API_KEY")
    referred = [
        (variable["name"], "valueFrom" in variable)
        for pod in pods(production)
        for container in pod["containers"]
        for variable in container["env"]
        if secret.search(variable["name"])
    ]
    assert {name for name, _ in referred} == {
        "PELTON_WEB_TOKEN", "PELTON_BROKER_USERNAME", "PELTON_BROKER_PASSWORD", "OPENAI_API_KEY", "HUB_WEBHOOK_SECRET",
    }  # fmt: skip
    assert all(by_reference for _, by_reference in referred)
    assert not [each for each in production if each["kind"] == "Secret"]


def test_a_pod_may_do_nothing_that_it_need_not(manifests: list[Manifest]) -> None:
    for pod in pods(manifests):
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert "limits" in container["resources"]
            written = {mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")}
            assert written <= {"/data", "/tmp"}
    user = re.findall(r"^USER (\d+):(\d+)$", (ROOT / "deploy" / "Dockerfile").read_text(), re.MULTILINE)
    assert user == [(str(pod["securityContext"]["runAsUser"]),) * 2 for pod in pods(manifests)][:1]


def test_a_worker_keeps_name_volume_and_address(manifests: list[Manifest]) -> None:
    workers = one(manifests, "StatefulSet")
    (claim,) = workers["spec"]["volumeClaimTemplates"]
    (worker,) = workers["spec"]["template"]["spec"]["containers"]
    assert {"name": claim["metadata"]["name"], "mountPath": "/data"} in worker["volumeMounts"]
    env = {each["name"]: each for each in worker["env"]}
    assert env["CONSUMER_GROUP_INSTANCE_ID"]["valueFrom"] == {"fieldRef": {"fieldPath": "metadata.name"}}
    headless = one(manifests, "Service", "-workers")
    assert headless["spec"]["clusterIP"] == "None"
    assert headless["spec"]["publishNotReadyAddresses"] is True
    assert workers["spec"]["serviceName"] == headless["metadata"]["name"]
    # A variable is put in only where one before it in the list has that name.
    names = list(env)
    assert names.index("CONSUMER_GROUP_INSTANCE_ID") < names.index("WEB_HOST")
    assert env["WEB_HOST"]["value"] == f"$(CONSUMER_GROUP_INSTANCE_ID).{headless['metadata']['name']}.streams.svc"
    assert "PELTON_WEB_TOKEN" in env  # without one, the worker refuses to listen to others
    for service in [each for each in manifests if each["kind"] == "Service"]:
        labels = workers["spec"]["template"]["metadata"]["labels"]
        assert service["spec"]["selector"].items() <= labels.items()
        assert service["spec"]["ports"][0]["targetPort"] == worker["ports"][0]["name"]


def test_a_worker_of_this_machine_gets_what_a_pod_gets() -> None:
    (worker,) = one(render("default"), "StatefulSet")["spec"]["template"]["spec"]["containers"]
    pods = {each["name"]: each.get("value") for each in worker["env"]}
    settings = read_settings(ROOT / "deploy" / "cluster.env")
    assert {name: pods[name] for name in settings} == settings
    common = {"BROKER_URL": "kafka://127.0.0.1:9092", TOKEN_VARIABLE: "a token"}
    given = worker_environment(settings, common, "app-0", ROOT, 6066)
    assert set(given) == set(pods), "make cluster is what the chart deploys"


def test_the_grace_period_fits_the_settings(manifests: list[Manifest]) -> None:
    pod = one(manifests, "StatefulSet")["spec"]["template"]["spec"]
    (worker,) = pod["containers"]
    env = {each["name"]: each.get("value") for each in worker["env"]}
    leaves_s = int(worker["lifecycle"]["preStop"]["exec"]["command"][1])
    events_s = int(env["PELTON_SHUTDOWN_TIMEOUT_MS"]) / 1000
    assert pod["terminationGracePeriodSeconds"] >= leaves_s + events_s + 30
    # The group waits for the pod for longer than it takes to go and come back.
    assert int(env["BROKER_SESSION_TIMEOUT"]) >= 6


def test_probes_ask_what_there_is(manifests: list[Manifest]) -> None:
    (worker,) = one(manifests, "StatefulSet")["spec"]["template"]["spec"]["containers"]
    asked = {name: worker[name]["httpGet"]["path"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert asked == {"startupProbe": "/livez", "livenessProbe": "/livez", "readinessProbe": "/readyz"}


def test_one_worker_at_a_time_may_go(manifests: list[Manifest]) -> None:
    budget, workers = one(manifests, "PodDisruptionBudget"), one(manifests, "StatefulSet")
    assert budget["spec"]["maxUnavailable"] == 1
    assert budget["spec"]["selector"] == workers["spec"]["selector"]


def test_workers_are_never_more_than_partitions(production: list[Manifest]) -> None:
    scaled = one(production, "ScaledObject")["spec"]
    assert scaled["maxReplicaCount"] == 24  # of a hundred that the values ask for
    assert scaled["scaleTargetRef"]["name"] == one(production, "StatefulSet")["metadata"]["name"]
    assert "replicas" not in one(production, "StatefulSet")["spec"], "helm would undo what KEDA has done"
    triggers = [trigger["metadata"] for trigger in scaled["triggers"]]
    assert [trigger["topic"] for trigger in triggers] == ["transactions", "logs"]
    assert {trigger["bootstrapServers"] for trigger in triggers} == {
        "kafka-0.kafka.example.com:9093,kafka-1.kafka.example.com:9093"
    }
    assert all((trigger["sasl"], trigger["tls"]) == ("scram_sha512", "enable") for trigger in triggers)
    assert "replicas is 5, but there are only 4 partitions" in refused("--set", "replicas=5")


def test_topics_come_before_workers(production: list[Manifest]) -> None:
    job = one(production, "Job")
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["command"] == ["faust", "-A", "app", "topics", "apply", "--yes", "--strict"]
    lenient = one(render("default"), "Job")["spec"]["template"]["spec"]["containers"][0]
    assert lenient["command"] == ["faust", "-A", "app", "topics", "apply", "--yes"]


def test_prometheus_asks_with_the_token_once_each_worker(production: list[Manifest]) -> None:
    monitor = one(production, "ServiceMonitor")["spec"]
    wanted = monitor["selector"]["matchLabels"].items()
    services = [each for each in production if each["kind"] == "Service"]
    assert [each["metadata"]["name"] for each in services if wanted <= each["metadata"]["labels"].items()] == [
        "bank-pelton-workers"
    ]
    # Alerts and dashboards ask for the job pelton.
    (headless,) = [each for each in services if each["spec"].get("clusterIP")]
    assert headless["metadata"]["labels"][monitor["jobLabel"]] == "pelton"
    assert monitor["endpoints"][0]["authorization"]["credentials"] == {"name": "bank-token", "key": "token"}
    rules = one(production, "PrometheusRule")["spec"]
    assert rules == yaml.safe_load((ROOT / "deploy" / "monitoring" / "alerts.yml").read_text())


def test_pods_speak_with_whom_they_must_alone(production: list[Manifest]) -> None:
    policy = one(production, "NetworkPolicy")["spec"]
    ports = [[port["port"] for port in rule["ports"]] for rule in policy["egress"]]
    assert ports == [[53, 53], [6066], [9093], [8000]]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert [port["port"] for port in policy["ingress"][0]["ports"]] == [6066]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("replica=3", "'replica' not allowed"),
        ("broker.url=http://kafka:80", "does not match pattern"),
        ("broker.protocol=TLS", "must be one of"),
        ("settings.PELTON_WEB_TOKEN=x", "PELTON_WEB_TOKEN"),
        ("settings.pelton=x", "does not match pattern"),
        ("broker.protocol=SASL_SSL", "broker.credentials.name is empty"),
        ("broker.credentials.name=user", "which sends no user"),
        ("broker.tls.name=tls", "which encrypts nothing"),
        ("web.port=80", "minimum"),
        ("persistence.size=10K", "does not match pattern"),
        ("persistence.size=1.2.3Gi", "does not match pattern"),
        ("persistence.size=0Gi", "does not match pattern"),
        ("persistence.size=100m", "does not match pattern"),
        ("image.repository=registry.example.com:5000/a bank", "does not match pattern"),
        ("fullnameOverride=bank.eu", "must begin with a letter and have no dots"),
        ("fullnameOverride=2bank", "must begin with a letter and have no dots"),
    ],
)
def test_values_that_make_no_sense_are_refused(given: str, told: str) -> None:
    assert told in refused("--set", given)


def test_what_the_page_says_to_type_is_taken() -> None:
    page = (ROOT / "docs" / "deployment.md").read_text()
    (typed,) = re.findall(r"^    helm install bank deploy/helm/pelton((?:.*\\\n)*.*)$", page, re.MULTILINE)
    done = helm("template", "bank", str(CHART), "--kube-version", KUBERNETES[-1], *typed.replace("\\\n", " ").split())
    assert done.returncode == 0, done.stderr


def test_every_value_is_told_of_and_checked() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    schema = json.loads((CHART / "values.schema.json").read_text())
    page = (ROOT / "docs" / "deployment.md").read_text()
    assert set(values) == set(schema["properties"]) - {"global"}
    assert [name for name in values if f"`{name}" not in page] == []
    for name, value in values.items():
        if isinstance(value, dict) and (checked := schema["properties"][name].get("properties")):
            assert set(value) == set(checked), name
