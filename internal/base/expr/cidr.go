package expr

import (
	"fmt"
	"net/netip"
	"reflect"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"cel.dev/cel-go/interpreter"
)

// prefixes is the value of cidr().
type prefixes []netip.Prefix

// parsePrefixes implements cidr('10.0.0.0/8') and cidr(['10.0.0.0/8', '::1/128']). A bare address becomes a prefix of
// its full length.
func parsePrefixes(v ref.Val) ref.Val {
	switch v := v.(type) {
	case types.String:
		p, err := parsePrefix(string(v))
		if err != nil {
			return types.WrapErr(err)
		}
		return prefixes{p}
	case traits.Lister:
		var list prefixes
		for it := v.Iterator(); it.HasNext() == types.True; {
			text, ok := it.Next().(types.String)
			if !ok {
				return types.NewErr("cidr() takes strings")
			}
			p, err := parsePrefix(string(text))
			if err != nil {
				return types.WrapErr(err)
			}
			list = append(list, p)
		}
		return list
	default:
		return types.MaybeNoSuchOverloadErr(v)
	}
}

func parsePrefix(text string) (netip.Prefix, error) {
	if address, err := netip.ParseAddr(text); err == nil {
		address = address.Unmap().WithZone("")
		return netip.PrefixFrom(address, address.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%q is no prefix such as 10.0.0.0/8", text)
	}
	if a := p.Addr(); a.Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(a.Unmap(), p.Bits()-96)
	}
	return p.Masked(), nil
}

// prefixContains implements cidr(...).contains(address). An argument that is not an address cannot be decided and is
// an error.
func prefixContains(v, address ref.Val) ref.Val {
	list, ok := v.(prefixes)
	text, isText := address.(types.String)
	if !ok || !isText {
		return types.MaybeNoSuchOverloadErr(address)
	}
	a, err := netip.ParseAddr(string(text))
	if err != nil {
		return types.NewErr("%q is no IP address", string(text))
	}
	a = a.Unmap().WithZone("")
	for _, p := range list {
		if p.Contains(a) {
			return types.True
		}
	}
	return types.False
}

// foldPrefixes parses a cidr() of constants when the expression is planned.
func foldPrefixes(i interpreter.InterpretableV2) (interpreter.InterpretableV2, error) {
	call, ok := i.(interpreter.InterpretableCall)
	if !ok || call.Function() != "cidr" || len(call.Args()) != 1 {
		return i, nil
	}
	constant, ok := call.Args()[0].(interpreter.InterpretableConst)
	if !ok {
		return i, nil
	}
	v := parsePrefixes(constant.Value())
	if err, failed := v.(*types.Err); failed {
		return nil, err
	}
	return interpreter.NewConstValue(i.ID(), v), nil
}

// Type implements ref.Val.
func (prefixes) Type() ref.Type { return celPrefix }

// Value implements ref.Val.
func (p prefixes) Value() any { return []netip.Prefix(p) }

// Equal implements ref.Val.
func (p prefixes) Equal(other ref.Val) ref.Val {
	o, ok := other.(prefixes)
	return types.Bool(ok && reflect.DeepEqual(p, o))
}

// ConvertToType implements ref.Val.
func (prefixes) ConvertToType(ref.Type) ref.Val { return types.NewErr("a cidr is no other value") }

// ConvertToNative implements ref.Val.
func (prefixes) ConvertToNative(t reflect.Type) (any, error) {
	return nil, fmt.Errorf("a cidr is no %v", t)
}
