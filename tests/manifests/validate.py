"""Every object of these files, strictly, by the schemas of Kubernetes 1.28 to 1.37; then each container has what a
cluster asks of it. Prints how many were checked."""

import sys

import kubernetes_validate
import yaml

VERSIONS = [f"1.{minor}" for minor in range(28, 38)]

checked = 0
for name in sys.argv[1:]:
    for it in yaml.safe_load_all(open(name)):
        for version in VERSIONS:
            used = kubernetes_validate.validate(it, version, strict=True)
            assert used == version, f"no schemas of {version}, only of {used}"
            checked += 1
        if it["kind"] == "Deployment":
            for container in it["spec"]["template"]["spec"]["containers"]:
                assert container["resources"]["requests"]["memory"], container["name"]
                assert container["resources"]["limits"]["memory"], container["name"]
print(checked)
