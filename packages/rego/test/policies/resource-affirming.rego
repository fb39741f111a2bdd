# A resource goes to an attester all of whose parts are affirming, without the import.
package policy

default allow := false

allow if {
	data.plugin == "resource"
	count(input.submods) > 0
	every submod in input.submods {
		submod["ear.status"] == "affirming"
	}
}
