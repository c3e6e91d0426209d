"""The Helm chart on a real API server: installed, upgraded, scaled, rolled back, taken away.

There are no nodes, so no pod runs; but the server checks, fills in and keeps what it is sent, and refuses pods that are
not "restricted". Skipped without KUBE_APISERVER (deploy/README.md); KUBE_CRDS has the folders of the operators' types.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.api_server import ApiServer, api_server
from tests.deploy.test_chart import CHART, VALUES, Manifest, helm_program, one, render

pytestmark = pytest.mark.timeout(600)

#: Where the server has objects of each kind.
PATHS = {
    "StatefulSet": "/apis/apps/v1/namespaces/{}/statefulsets",
    "Service": "/api/v1/namespaces/{}/services",
    "Job": "/apis/batch/v1/namespaces/{}/jobs",
    "PodDisruptionBudget": "/apis/policy/v1/namespaces/{}/poddisruptionbudgets",
    "NetworkPolicy": "/apis/networking.k8s.io/v1/namespaces/{}/networkpolicies",
    "ServiceMonitor": "/apis/monitoring.coreos.com/v1/namespaces/{}/servicemonitors",
    "PrometheusRule": "/apis/monitoring.coreos.com/v1/namespaces/{}/prometheusrules",
    "ScaledObject": "/apis/keda.sh/v1alpha1/namespaces/{}/scaledobjects",
    "TriggerAuthentication": "/apis/keda.sh/v1alpha1/namespaces/{}/triggerauthentications",
}
TYPES = (
    "monitoring.coreos.com_servicemonitors", "monitoring.coreos.com_prometheusrules",
    "keda.sh_scaledobjects", "keda.sh_triggerauthentications",
)  # fmt: skip


class Release:
    """The chart in a namespace of its own, which takes "restricted" pods alone."""

    def __init__(self, server: ApiServer, namespace: str) -> None:
        self.server = server
        self.namespace = namespace
        labels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
        made = server.ask("POST", "/api/v1/namespaces", {"metadata": {"name": namespace, "labels": labels}})
        assert made.status == 201, made

    def helm(self, *words: str) -> subprocess.CompletedProcess[str]:
        where = os.environ | {"KUBECONFIG": str(self.server.kubeconfig)}
        command = [helm_program(), *words, "--namespace", self.namespace]
        return subprocess.run(command, capture_output=True, text=True, check=False, env=where)

    def done(self, *words: str) -> str:
        """Run helm, which must succeed without a warning of the server's; return what it printed."""
        done = self.helm(*words)
        # That a file of the chart is a link it says each time.
        said = [line for line in done.stderr.splitlines() if "found symbolic link" not in line]
        assert (done.returncode, said) == (0, []), done.stdout + done.stderr
        return done.stdout

    def upgrade(self, *words: str) -> None:
        """Install or upgrade; without hooks, whose job nobody would run."""
        self.done("upgrade", "--install", "bank", str(CHART), "--no-hooks", *words)

    def path(self, kind: str, name: str) -> str:
        return f"{PATHS[kind].format(self.namespace)}/{name}"

    def names(self, kind: str) -> list[str]:
        """Return the names of all objects of a kind."""
        told = self.server.ask("GET", PATHS[kind].format(self.namespace))
        return [each["metadata"]["name"] for each in told.told["items"]]

    def workers(self) -> Any:
        """Return the StatefulSet's spec."""
        told = self.server.ask("GET", self.path("StatefulSet", "bank-pelton"))
        assert told.status == 200, told
        return told.told["spec"]

    def scale(self, replicas: int) -> None:
        """Scale the workers, as kubectl and autoscalers do."""
        path = self.path("StatefulSet", "bank-pelton") + "/scale"
        told = self.server.ask("PATCH", path, {"spec": {"replicas": replicas}}, "application/merge-patch+json")
        assert (told.status, told.warnings) == (200, []), told


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """Give a server that knows the operators' types."""
    with api_server(tmp_path_factory.mktemp("kubernetes")) as server:
        folders = [Path(folder) for folder in os.environ.get("KUBE_CRDS", "").split(os.pathsep)]
        for name in TYPES:
            (file,) = [folder / f"{name}.yaml" for folder in folders if (folder / f"{name}.yaml").exists()]
            type_ = yaml.safe_load(file.read_text())
            path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
            assert server.ask("POST", path, type_).status == 201
            server.until_served(f"{path}/{type_['metadata']['name']}")
        # That of ci/production-values.yaml.
        priority = {"metadata": {"name": "streaming"}, "value": 1000}
        assert server.ask("POST", "/apis/scheduling.k8s.io/v1/priorityclasses", priority).status == 201
        yield server


@pytest.fixture
def release(server: ApiServer, request: pytest.FixtureRequest) -> Release:
    return Release(server, request.node.name.replace("_", "-").replace("[", "-").strip("]")[-40:].strip("-"))


def lost(sent: Any, kept: Any, where: str = "") -> Iterator[str]:
    """Yield what the server has not, or has otherwise. What it filled in is no matter."""
    if isinstance(sent, dict) and isinstance(kept, dict):
        for name, value in sent.items():
            yield from lost(value, kept.get(name), f"{where}.{name}")
    elif isinstance(sent, list) and isinstance(kept, list) and len(sent) == len(kept):
        for number, (one_sent, one_kept) in enumerate(zip(sent, kept, strict=True)):
            yield from lost(one_sent, one_kept, f"{where}[{number}]")
    elif sent != kept:
        yield f"{where}: sent {sent!r}, kept {kept!r}"


def pod_of(workers: Manifest) -> Manifest:
    """Return the pod that the controller would make."""
    template = workers["spec"]["template"]
    spec = dict(template["spec"])
    claims = [claim["metadata"]["name"] for claim in workers["spec"]["volumeClaimTemplates"]]
    spec["volumes"] = [
        *spec["volumes"],
        *({"name": name, "persistentVolumeClaim": {"claimName": f"{name}-0"}} for name in claims),
    ]
    return {"metadata": {**template["metadata"], "name": "bank-pelton-0"}, "spec": spec}


@pytest.mark.parametrize("values", VALUES)
def test_what_is_sent_is_what_is_kept(release: Release, values: str) -> None:
    given = [word for file in VALUES[values] for word in ("--values", str(file))]
    release.done("install", "bank", str(CHART), "--dry-run=server", *given)
    release.upgrade(*given)
    sent = [one for one in yaml.safe_load_all(release.done("get", "manifest", "bank")) if one]
    assert [each["kind"] for each in sent if each["kind"] != "Job"]
    for manifest in sent:
        kept = release.server.ask("GET", release.path(manifest["kind"], manifest["metadata"]["name"]))
        assert kept.status == 200, kept
        assert list(lost(manifest, kept.told)) == []
    # The hook's job, and the pods of both, which must pass the namespace's check.
    jobs = [each for each in render(values) if each["kind"] == "Job"]
    for job in jobs:
        made = release.server.ask("POST", PATHS["Job"].format(release.namespace), job)
        assert (made.status, made.warnings) == (201, []), made
        assert list(lost(job, made.told)) == []
    templates = [job["spec"]["template"] | {"metadata": {"name": "job"}} for job in jobs]
    for pod in [pod_of(one(sent, "StatefulSet")), *templates]:
        made = release.server.ask("POST", f"/api/v1/namespaces/{release.namespace}/pods?dryRun=All", pod)
        assert (made.status, made.warnings) == (201, []), made


def test_an_autoscaler_that_comes_later_finds_the_workers_that_there_are(release: Release) -> None:
    """What a manifest says no more the server puts back to its default: one worker of four."""
    autoscaled = ("--set", "autoscaling.enabled=true")
    release.upgrade("--set", "replicas=4")
    release.upgrade(*autoscaled)
    assert release.workers()["replicas"] == 4
    release.scale(3)
    release.upgrade(*autoscaled, "--set", "image.tag=v2")
    release.upgrade(*autoscaled, "--set", "image.tag=v3")
    assert release.workers()["replicas"] == 3
    release.upgrade("--set", "replicas=2,autoscaling.enabled=false")
    assert release.workers()["replicas"] == 2
    release.done("uninstall", "bank")
    # With an autoscaler from the beginning nobody else ever says how many; a release that comes back does not either.
    release.upgrade(*autoscaled)
    release.scale(3)
    release.upgrade(*autoscaled, "--set", "image.tag=v2")
    release.scale(4)
    release.done("rollback", "bank", "1", "--no-hooks")
    assert release.workers()["replicas"] == 4


def test_what_is_turned_off_goes(release: Release) -> None:
    parts = ("serviceMonitor", "alerts", "networkPolicy", "autoscaling")
    release.upgrade("--set", ",".join(f"{part}.enabled=true" for part in parts))
    kinds = ("ServiceMonitor", "PrometheusRule", "NetworkPolicy", "ScaledObject")
    assert [release.names(kind) for kind in kinds] == [["bank-pelton"]] * 4
    release.upgrade("--reset-values")
    assert [release.names(kind) for kind in kinds] == [[]] * 4


def test_volumes_stay_as_they_were_made(release: Release) -> None:
    release.upgrade()
    refused = release.helm("upgrade", "bank", str(CHART), "--no-hooks", "--set", "persistence.size=20Gi")
    assert "updates to statefulset spec for fields other than" in refused.stderr
    release.upgrade("--reset-values", "--set", "persistence.size=10240Mi")  # the same in other words


def test_a_release_goes_on_back_and_away(release: Release) -> None:
    release.upgrade("--set", "image.tag=v1")
    first = release.workers()
    release.upgrade("--set", "image.tag=v2,replicas=4,standbyReplicas=1,updatePartition=1,preStopSeconds=7")
    second = release.workers()
    assert (second["replicas"], second["updateStrategy"]["rollingUpdate"]["partition"]) == (4, 1)
    release.upgrade("-f", str(CHART / "ci" / "minimal-values.yaml"))
    assert release.workers()["replicas"] == 1
    release.done("rollback", "bank", "1", "--no-hooks")
    assert release.workers() == first
    release.scale(2)
    assert release.workers()["replicas"] == 2
    release.done("uninstall", "bank")
    assert [release.names(kind) for kind in PATHS] == [[]] * len(PATHS)
