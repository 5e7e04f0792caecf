"""KubeRay's fields as far as our manifests use them, as a JSON schema that knows no others.

Stated from the types of KubeRay's ray.io/v1 API and its field reference, and for pods from Kubernetes' own; it is no copy of the
CRDs and says nothing of fields that we do not use. A name that is not below is an error, as with kubectl's `--validate=strict`.
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
WHOLE: Schema = {"type": "integer", "minimum": 0}
SWITCH: Schema = {"type": "boolean"}
TEXTS: Schema = {"type": "object", "additionalProperties": TEXT}
QUANTITY: Schema = {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?([KMGTPE]i?|m|k)?$"}
NAME: Schema = {"type": "string", "pattern": r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"}


def record(required: str = "", /, **properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "required": required.split(), "additionalProperties": False}


def listed(item: Schema, least: int = 0) -> Schema:
    return {"type": "array", "items": item, "minItems": least}


QUANTITIES: Schema = {"type": "object", "additionalProperties": QUANTITY}
ENVIRONMENT = record("name", name=TEXT, value=TEXT, valueFrom=record(secretKeyRef=record("key", name=NAME, key=TEXT)))
CONTAINER = record(
    "name image",
    name=NAME,
    image=TEXT,
    ports=listed(record("containerPort", containerPort={"type": "integer", "minimum": 1, "maximum": 65535}, name=NAME)),
    env=listed(ENVIRONMENT),
    resources=record(requests=QUANTITIES, limits=QUANTITIES),
    volumeMounts=listed(record("name mountPath", name=NAME, mountPath=TEXT)),
)
VOLUME = record(
    "name",
    name=NAME,
    persistentVolumeClaim=record("claimName", claimName=NAME),
    emptyDir=record(medium={"enum": ["", "Memory"]}, sizeLimit=QUANTITY),
)
TOLERATION = record(
    key=TEXT,
    operator={"enum": ["Exists", "Equal"]},
    value=TEXT,
    effect={"enum": ["NoSchedule", "PreferNoSchedule", "NoExecute"]},
)
POD_TEMPLATE = record(
    "spec",
    spec=record(
        "containers", containers=listed(CONTAINER, 1), volumes=listed(VOLUME), tolerations=listed(TOLERATION), nodeSelector=TEXTS
    ),
)
HEAD_GROUP = record("rayStartParams template", rayStartParams=TEXTS, template=POD_TEMPLATE)
WORKER_GROUP = record(
    "groupName minReplicas maxReplicas rayStartParams template",
    groupName=NAME,
    replicas=WHOLE,
    minReplicas=WHOLE,
    maxReplicas=WHOLE,
    rayStartParams=TEXTS,
    template=POD_TEMPLATE,
)
CLUSTER = record(
    "headGroupSpec",
    rayVersion=TEXT,
    authOptions=record(mode={"enum": ["disabled", "token"]}),
    enableInTreeAutoscaling=SWITCH,
    autoscalerOptions=record(idleTimeoutSeconds=WHOLE, upscalingMode={"enum": ["Default", "Aggressive", "Conservative"]}),
    headGroupSpec=HEAD_GROUP,
    workerGroupSpecs=listed(WORKER_GROUP),
)
JOB = record(
    entrypoint=TEXT,
    submissionMode={"enum": ["K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"]},
    backoffLimit=WHOLE,
    shutdownAfterJobFinishes=SWITCH,
    ttlSecondsAfterFinished=WHOLE,
    rayClusterSpec=CLUSTER,
)
SERVICE = record(serveConfigV2=TEXT, rayClusterConfig=CLUSTER)
CLAIM = record(
    "accessModes resources",
    accessModes=listed({"enum": ["ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod"]}, 1),
    storageClassName=TEXT,
    resources=record("requests", requests=QUANTITIES),
)
KINDS = {("ray.io/v1", "RayJob"): JOB, ("ray.io/v1", "RayService"): SERVICE, ("v1", "PersistentVolumeClaim"): CLAIM}


def schema_of(manifest: dict[str, Any]) -> Schema:
    """Of a whole manifest, by its kind."""
    spec = KINDS[manifest["apiVersion"], manifest["kind"]]
    return record("apiVersion kind metadata spec", apiVersion=TEXT, kind=TEXT, metadata=record("name", name=NAME), spec=spec)
