package registry

import "github.com/weir-gateway/weir/internal/discovery/registry/remote"

func parse(line string) (remote.Event, error) { return remote.ParseEvent([]byte(line)) }
