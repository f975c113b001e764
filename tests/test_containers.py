"""The files that run the gateway in containers; no engine is at hand, so they are read for what they say."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from gateway.settings import Settings, load_settings

ROOT = Path(__file__).resolve().parent.parent
KUBERNETES = ROOT / "deploy" / "kubernetes"
ENVIRONMENT = {"REDIS_URL": "redis://redis:6379/0", "PROMPT_CANARY_KEY": "k" * 32, "OPENAI_API_KEY": "x"}
ROLES = ["workers", "control"]


def settings(path: Path) -> Settings:
    return load_settings(path.read_text(), source=path.name, environment=ENVIRONMENT)


def documents(name: str) -> dict[str, Any]:
    """Of one manifest, by kind."""
    return {found["kind"]: found for found in yaml.safe_load_all((KUBERNETES / f"{name}.yaml").read_text())}


def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    hadolint = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or shutil.which("hadolint")
    if hadolint is None:
        pytest.skip("hadolint is not there")
    done = subprocess.run(
        [hadolint, str(ROOT / "Dockerfile")], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_image_runs_as_nobody_and_can_tell_that_it_is_well() -> None:
    text = (ROOT / "Dockerfile").read_text()
    final = text[text.rindex("FROM ") :]
    assert "USER 10001" in final and "STOPSIGNAL SIGTERM" in final and "HEALTHCHECK" in final
    assert "gcc" not in final


@pytest.mark.parametrize("name", ["docker-compose.yml", "docker-compose.demo.yml"])
def test_what_a_compose_file_mounts_and_depends_on_is_there(name: str) -> None:
    compose = yaml.safe_load((ROOT / name).read_text())
    services = compose["services"]
    for service in services.values():
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            assert (ROOT / source).exists() if source.startswith(".") else source in compose["volumes"]
        assert set(service.get("depends_on", ())) <= set(services)
        mode = service.get("network_mode", "")
        assert not mode or mode.removeprefix("service:") in services
    gateway = services["gateway"]
    assert gateway["read_only"] is True
    assert int(gateway["stop_grace_period"].removesuffix("s")) > 300


def test_the_demonstration_s_settings_fit_its_compose_file() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.demo.yml").read_text())["services"]
    found = settings(ROOT / "config" / "demo.yaml")
    assert found.traces.endpoint == "http://collector:4318"
    assert "collector" in services
    assert len(services["gateway"]["environment"]["PROMPT_CANARY_KEY"].split(":-")[1].rstrip("}")) >= 32
    collector = yaml.safe_load((ROOT / "config" / "otel" / "collector.yaml").read_text())
    assert collector["receivers"]["otlp"]["protocols"]["http"]["endpoint"].endswith(":4318")


@pytest.mark.parametrize("path", ["config/otel/collector.yaml", "deploy/kubernetes/sidecar.yaml"])
def test_a_collector_s_pipelines_name_what_is_configured(path: str) -> None:
    collector = yaml.safe_load((ROOT / path).read_text())
    for pipeline in collector["service"]["pipelines"].values():
        for kind, names in pipeline.items():
            assert set(names) <= set(collector[kind])


@pytest.mark.parametrize("name", ROLES)
def test_pods_are_locked_down_probed_and_bounded(name: str) -> None:
    deployment = documents(name)["Deployment"]
    pod = deployment["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    mounted = {volume["name"] for volume in pod["volumes"]}
    for container in pod["containers"]:
        context = container["securityContext"]
        assert context["readOnlyRootFilesystem"] is True
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert "memory" in container["resources"]["limits"]
        assert {mount["name"] for mount in container["volumeMounts"]} <= mounted
    gateway = pod["containers"][0]
    assert "readyz" in str(gateway["readinessProbe"]) and "healthz" in str(gateway["livenessProbe"])
    role = deployment["metadata"]["labels"]["role"]
    assert gateway["args"][-2:] == ["--role", role]


@pytest.mark.parametrize("name", ROLES)
def test_manifests_fit_the_schemas_of_kubernetes(name: str) -> None:
    for document in documents(name).values():
        kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)


def test_the_schemas_refuse_what_is_wrong() -> None:
    """So that a validator that looks at nothing is noticed."""
    deployment = documents("workers")["Deployment"]
    deployment["spec"]["replicas"] = "two"
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(deployment, kubernetes_validate.latest_version(), strict=True)


@pytest.mark.parametrize("name", ROLES)
def test_selectors_find_the_pods(name: str) -> None:
    found = documents(name)
    labels = found["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert found["Deployment"]["spec"]["selector"]["matchLabels"] == labels
    assert found["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
    assert found["Deployment"]["spec"]["replicas"] >= 2
    if "Service" in found:
        assert found["Service"]["spec"]["selector"].items() <= labels.items()


def test_a_worker_s_pod_has_time_to_drain() -> None:
    pod = documents("workers")["Deployment"]["spec"]["template"]["spec"]
    stop = int(pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][-1])
    drain = settings(KUBERNETES / "gateway.yaml").timeouts.drain
    assert pod["terminationGracePeriodSeconds"] >= stop + drain + 5


def test_kustomization_names_every_manifest() -> None:
    kustomization = yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text())
    generated = {
        name: [Path(file).name for file in entry["files"]]
        for entry in kustomization["configMapGenerator"]
        for name in [entry["name"]]
    }
    assert generated == {"prompt-canary": ["gateway.yaml"], "prompt-canary-otel": ["sidecar.yaml"]}
    assert sorted(kustomization["resources"]) == ["control.yaml", "workers.yaml"]
    for name in ROLES:
        volumes = documents(name)["Deployment"]["spec"]["template"]["spec"]["volumes"]
        maps = {volume["configMap"]["name"] for volume in volumes if "configMap" in volume}
        assert maps == set(generated)
