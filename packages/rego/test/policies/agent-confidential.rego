# What a confidential guest lets its host ask for: one container, no commands but its probe, state kept between calls.
package agent_policy

import future.keywords.in
import future.keywords.every
import future.keywords.if

default AllowRequestsFailingPolicy := false
default SetPolicyRequest := false
default StartContainerRequest := true
default ReadStreamRequest := false
default CreateContainerRequest := {"allowed": false}
default ExecProcessRequest := false
default CopyFileRequest := false
default UpdateInterfaceRequest := false

policy_data := {
	"containers": [{
		"args": ["/bin/server", "--port", "8080"],
		"env": ["PATH=/bin", "^HOSTNAME=[a-z0-9-]+$"],
		"exec_commands": ["/bin/probe --live"],
		"mounts": {"/proc": "proc", "/data": "ext4"},
		"readonly": true,
	}],
	"shared": "/run/kata-containers/shared/containers/",
}

CreateContainerRequest := {"allowed": true, "ops": ops} {
	count(input.shared_mounts) == 0
	is_null(input.OCI.Hooks)
	not known(input.container_id)
	some index, container in policy_data.containers
	print("trying container", index)
	input.OCI.Process.Args == container.args
	input.OCI.Root.Readonly == container.readonly
	every variable in input.OCI.Process.Env {
		allowed_variable(container, variable)
	}
	every mount in input.OCI.Mounts {
		container.mounts[mount.destination] == mount.type_
	}
	ops := [{"op": "add", "path": concat("/", ["", "pstate", input.container_id]), "value": index}]
}

known(id) {
	data.pstate[id] >= 0
}

allowed_variable(container, variable) {
	variable in container.env
}

allowed_variable(container, variable) {
	some pattern in container.env
	startswith(pattern, "^")
	regex.match(pattern, variable)
}

ExecProcessRequest {
	container := policy_data.containers[data.pstate[input.container_id]]
	command := concat(" ", input.process.Args)
	command in container.exec_commands
}

CopyFileRequest {
	regex.match(concat("", ["^", policy_data.shared, "[0-9a-f]{64}-[0-9a-f]{16}-"]), input.path)
	not contains(input.path, "..")
}

UpdateInterfaceRequest {
	input.interface.name != "lo"
	input.interface.raw_flags in [0, 128]
}
