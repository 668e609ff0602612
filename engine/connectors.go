package engine

import (
	"streamsql/connector"
	"streamsql/connector/file"
	"streamsql/connector/nexmark"
)

// builtinConnectors are the connectors that every engine has.
func builtinConnectors() []connector.Connector {
	return []connector.Connector{nexmark.Connector{}, file.Connector{}}
}
