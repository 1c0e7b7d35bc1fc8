from tests.unit.deploy.conftest import Render, named, of_kind, pods

MINE = "mine"


def test_redis_takes_its_password_from_the_file_that_follows_the_secret(render: Render) -> None:
    objects = render()
    template = named(objects, "StatefulSet", "r-redis")["spec"]["template"]["spec"]
    (container,) = template["containers"]
    (mount,) = [one for one in container["volumeMounts"] if one["name"] == "secret"]
    file = f"{mount['mountPath']}/password"
    assert mount["readOnly"] is True
    assert file in container["args"][0]
    assert file in container["startupProbe"]["exec"]["command"][-1]
    assert file in container["readinessProbe"]["exec"]["command"][-1]
    assert not container.get("env"), "a variable would stay at the password of the pod's start"
    secret = named(objects, "Secret", "r-redis")["stringData"]
    assert secret["url"] == f"redis://:{secret['password']}@r-redis:6379/0"


def test_a_secret_of_ones_own_is_used_by_everything_and_written_by_nobody(render: Render) -> None:
    harvest = {"problems": "owner/name", "by": "keda"}
    objects = render(redis__existingSecret=MINE, trainer__harvest__runs={"r": harvest})
    assert not [one for one in of_kind(objects, "Secret") if "redis" in one["metadata"]["name"]]
    volumes = named(objects, "StatefulSet", "r-redis")["spec"]["template"]["spec"]["volumes"]
    assert [one["secret"]["secretName"] for one in volumes if "secret" in one] == [MINE]
    asked = [
        variable["valueFrom"]["secretKeyRef"]
        for _, template in pods(objects)
        for container in template["spec"]["containers"]
        for variable in container.get("env", [])
        if variable["name"].endswith("_REDIS_URL")
    ]
    assert len(asked) >= 3
    assert all(one == {"name": MINE, "key": "url"} for one in asked)
    (authentication,) = of_kind(objects, "TriggerAuthentication")
    (target,) = authentication["spec"]["secretTargetRef"]
    assert (target["name"], target["key"]) == (MINE, "password")
