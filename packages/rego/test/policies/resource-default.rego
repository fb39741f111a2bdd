# A resource goes to any attester whose evidence is not a sample.
package policy

import rego.v1

default allow := false

allow if {
	data.plugin == "resource"
	not is_sample
}

is_sample if {
	input.submods.cpu0["ear.veraison.annotated-evidence"].sample
}
