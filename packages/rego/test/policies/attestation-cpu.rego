# Trust claims of a CPU attester: starts from the worst and improves what evidence and Reference Values show.
package policy

import rego.v1

default hardware := 97

default executables := 33

default configuration := 36

reference(id) := values if {
	values := query_reference_value(id)
	values != null
}

trust_claims := {
	"instance-identity": 0,
	"configuration": configuration,
	"executables": executables,
	"file-system": 0,
	"hardware": hardware,
	"runtime-opaque": 0,
	"storage-opaque": 0,
	"sourced-data": 0,
}

hardware := 2 if {
	input.sample
	input.sample.svn in reference("svn")
	input.sample.platform_version.major == reference("major_version")
	input.sample.platform_version.minor >= reference("minimum_minor_version")
}

hardware := 2 if {
	input.snp
	input.snp.reported_tcb_bootloader in reference("snp_bootloader")
	input.snp.reported_tcb_microcode in reference("snp_microcode")
	input.snp.reported_tcb_snp in reference("snp_snp_svn")
	input.snp.reported_tcb_tee in reference("snp_tee_svn")
}

executables := 3 if {
	input.sample.launch_digest in reference("launch_digest")
}

executables := 3 if {
	input.snp.measurement in reference("snp_launch_measurement")
}

configuration := 2 if {
	input.sample.debug == false
}

snp_without_debug if {
	input.snp.policy_debug_allowed == false
	input.snp.policy_migrate_ma == false
}

configuration := 2 if {
	snp_without_debug
	input.snp.platform_smt_enabled == reference("snp_smt_enabled")
	input.snp.platform_tsme_enabled == reference("snp_tsme_enabled")
} else := 3 if {
	snp_without_debug
}

container_images contains image if {
	some container in input.init_data_claims.agent_policy_claims.containers
	image := container.OCI.Annotations["io.kubernetes.cri.image-name"]
}

extensions := [{"name": "ear.trustee.identifiers.validated", "key": -18000, "value": {"container_images": container_images}}] if {
	count(container_images) > 0
}
