package policy

default allow = false

allow if data.plugin == "resource"
