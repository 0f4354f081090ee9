"""The manifests: valid for Kubernetes, and as closed as the restricted profile wants them."""

from pathlib import Path

import kubernetes_validate
import pytest
import yaml

FOLDER = Path(__file__).resolve().parents[2] / "deploy" / "kubernetes"
FILES = sorted(FOLDER.glob("*.yaml"))
VERSION = "1.34"


def documents(path):
    return list(yaml.safe_load_all(path.read_text()))


def pods(path):
    return [d["spec"]["template"]["spec"] for d in documents(path) if d["kind"] == "StatefulSet"]


def containers(path):
    return [c for pod in pods(path) for c in (*pod["initContainers"], *pod["containers"])]


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_every_resource_is_valid(path):
    for document in documents(path):
        kubernetes_validate.validate(document, VERSION, strict=True)
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate({**documents(path)[0], "sepc": {}}, VERSION, strict=True)


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_pods_follow_the_restricted_profile(path):
    for pod in pods(path):
        security = pod["securityContext"]
        assert security["runAsNonRoot"]
        assert security["runAsUser"] == 10001
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        assert security["fsGroupChangePolicy"] == "OnRootMismatch"
        assert pod["automountServiceAccountToken"] is False
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
        assert not any("hostPath" in volume for volume in pod["volumes"])
    for container in containers(path):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert "memory" in container["resources"]["limits"]
        assert ":" in container["image"]


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_secrets_come_by_mount(path):
    for container in containers(path):
        assert "envFrom" not in container
        assert all("valueFrom" not in entry for entry in container.get("env", ()))
    assert not any(d["kind"] == "Secret" for d in documents(path))
    secrets = {v["name"] for pod in pods(path) for v in pod["volumes"] if "secret" in v}
    mounts = [m for c in containers(path) for m in c["volumeMounts"] if m["name"] in secrets]
    assert mounts
    assert all(mount["readOnly"] for mount in mounts)


def test_a_site_is_reached_by_nobody_and_reaches_one_address():
    found = documents(FOLDER / "site.yaml")
    assert not any(d["kind"] in ("Service", "Ingress") for d in found)
    (policy,) = [d["spec"] for d in found if d["kind"] == "NetworkPolicy"]
    assert (policy["podSelector"], policy["ingress"]) == ({}, [])
    assert set(policy["policyTypes"]) == {"Ingress", "Egress"}
    blocks = [to["ipBlock"]["cidr"] for e in policy["egress"] for to in e["to"] if "ipBlock" in to]
    assert [block.rpartition("/")[2] for block in blocks] == ["32"]
    for container in containers(FOLDER / "site.yaml"):
        assert "ports" not in container
        assert all(m["readOnly"] for m in container["volumeMounts"] if m["name"] == "data")


def test_a_coordinator_opens_the_proxys_port_and_goes_nowhere():
    found = documents(FOLDER / "coordinator.yaml")
    policies = {d["metadata"]["name"]: d["spec"] for d in found if d["kind"] == "NetworkPolicy"}
    assert policies["closed"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    assert policies["coordinator"]["egress"] == []
    (rule,) = policies["coordinator"]["ingress"]
    assert rule == {"ports": [{"protocol": "TCP", "port": 443}]}
    opened = [
        p["containerPort"]
        for c in containers(FOLDER / "coordinator.yaml")
        for p in c.get("ports", ())
    ]
    assert opened == [443]
    (service,) = [d["spec"] for d in found if d["kind"] == "Service"]
    assert service["ports"] == [{"name": "sites", "port": 443, "targetPort": "sites"}]
