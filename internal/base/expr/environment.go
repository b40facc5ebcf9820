package expr

import (
	"errors"
	"fmt"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/env"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/ext"
)

// The names of Weir's own types in CEL.
const (
	stepType   = "weir.Step"
	authType   = "weir.Auth"
	prefixType = "weir.Prefix"
)

// encodersVersion selects base64 and nothing later: json.encode and json.parse convert numbers to floats, and
// yaml.parse follows aliases, which a small text may nest without end.
const encodersVersion = 0

// The names that more than one table uses.
const (
	pathName       = "path"
	queryName      = "query"
	hostName       = "host"
	authName       = "auth"
	authClaims     = "auth.claims"
	requestBody    = "request.body"
	requestQuery   = "request.query"
	requestPath    = "request.path"
	responseBody   = "response.body"
	responseStatus = "response.status"
	clientAddress  = "client.ip"
	authSubject    = "auth.sub"
	stepsName      = "steps"
	itemName       = "item"
	bodyField      = "body"
	textField      = "text"
	headersField   = "headers"
	stringName     = "string" // a type and a function
	bytesName      = "bytes"
)

var (
	celStep   = cel.ObjectType(stepType)
	celAuth   = cel.OpaqueType(authType)
	celPrefix = cel.OpaqueType(prefixType)
	celFields = cel.MapType(cel.StringType, cel.StringType)
)

// variables holds all names with their types. `request.method` is one variable with a dot in its name. Reading it costs
// one lookup and no object.
var variables = map[string]*cel.Type{
	"request.method":   cel.StringType,
	requestPath:        cel.StringType,
	requestQuery:       cel.StringType,
	"request.headers":  celFields,
	"request.cookies":  celFields,
	"request.host":     cel.StringType,
	"request.scheme":   cel.StringType,
	requestBody:        cel.DynType,
	"request.id":       cel.StringType,
	pathName:           celFields,
	queryName:          celFields,
	hostName:           cel.StringType,
	clientAddress:      cel.StringType,
	"client.scheme":    cel.StringType,
	authName:           celAuth,
	authSubject:        cel.StringType,
	"auth.iss":         cel.StringType,
	"auth.id":          cel.StringType,
	"auth.method":      cel.StringType,
	"auth.scopes":      cel.ListType(cel.StringType),
	authClaims:         cel.MapType(cel.StringType, cel.DynType),
	responseStatus:     cel.IntType,
	"response.headers": celFields,
	"response.cookies": celFields,
	responseBody:       cel.DynType,
	stepsName:          cel.MapType(cel.StringType, celStep),
	itemName:           cel.DynType,
}

// stepFields holds the fields of a step with their types.
var stepFields = map[string]*cel.Type{
	"status":     cel.IntType,
	headersField: celFields,
	bodyField:    cel.DynType,
	textField:    cel.StringType,
}

// newEnvironment returns CEL's standard library with arithmetic that mixes integers and other numbers, the extensions
// that are pure and bounded, and Weir's names.
func newEnvironment() (*cel.Env, error) {
	registry, err := types.NewRegistry()
	if err != nil {
		return nil, fmt.Errorf("types: %w", err)
	}
	options := []cel.EnvOption{
		cel.CustomTypeAdapter(adapter{}),
		cel.CustomTypeProvider(provider{registry}),
		cel.StdLib(cel.StdLibSubset(&env.LibrarySubset{ExcludeFunctions: []*env.Function{
			{Name: operators.Add}, {Name: operators.Subtract}, {Name: operators.Multiply},
			{Name: operators.Divide}, {Name: operators.Modulo}, {Name: stringName},
		}})),
		ext.Strings(), ext.Encoders(ext.EncodersVersion(encodersVersion)), ext.Math(), ext.Lists(ext.ListsMaxRangeSize(maxRange)),
		cel.DefaultUTCTimeZone(true),
		cel.CrossTypeNumericComparisons(true),
		cel.ExpressionNodeLimit(maxNodes),
		cel.ParserRecursionLimit(maxNested),
		cel.ExpressionNestingDepthLimit(maxNested),
		cel.RegexProgramSizeLimit(maxRegex),
	}
	for name, t := range variables {
		options = append(options, cel.Variable(name, t))
	}
	options = append(options, ownFunctions()...)
	options = append(options, arithmetic()...)
	made, err := cel.NewCustomEnv(options...)
	if err != nil {
		return nil, err
	}
	return made, listNames(made)
}

// listNames makes the checker build its list of known names, which it does at the first unknown name. The checker does
// not guard against concurrent readers while it builds the list (cel-go v0.33.2, checker.Env.Catalog). So listNames
// builds it before env is shared.
func listNames(env *cel.Env) error {
	parsed, issues := env.Parse("_")
	if err := issues.Err(); err != nil {
		return err
	}
	if _, issues = env.Check(parsed); issues.Err() == nil {
		return errors.New("an unknown name is taken for a known one")
	}
	return nil
}

// ownFunctions returns Weir's additions to CEL.
func ownFunctions() []cel.EnvOption {
	return []cel.EnvOption{
		cel.Function("has", cel.MemberOverload("auth_has_scope", []*cel.Type{celAuth, cel.StringType}, cel.BoolType,
			cel.BinaryBinding(hasScope))),
		cel.Function("cidr",
			cel.Overload("cidr_string", []*cel.Type{cel.StringType}, celPrefix, cel.UnaryBinding(parsePrefixes)),
			cel.Overload("cidr_list", []*cel.Type{cel.ListType(cel.StringType)}, celPrefix, cel.UnaryBinding(parsePrefixes))),
		cel.Function("number",
			cel.Overload("number_string", []*cel.Type{cel.StringType}, cel.DynType, cel.UnaryBinding(numberOf))),
		cel.Function("contains", cel.MemberOverload("cidr_contains_string", []*cel.Type{celPrefix, cel.StringType}, cel.BoolType,
			cel.BinaryBinding(prefixContains))),
	}
}

// provider adds the type of steps to the types that CEL knows.
type provider struct{ *types.Registry }

func (p provider) FindStructType(name string) (*types.Type, bool) {
	if name == stepType {
		return types.NewTypeTypeWithParam(celStep), true
	}
	return p.Registry.FindStructType(name)
}

func (p provider) FindStructFieldNames(name string) ([]string, bool) {
	if name == stepType {
		return sortedKeys(stepFields), true
	}
	return p.Registry.FindStructFieldNames(name)
}

func (p provider) FindStructFieldType(name, field string) (*types.FieldType, bool) {
	if name != stepType {
		return p.Registry.FindStructFieldType(name, field)
	}
	t, ok := stepFields[field]
	if !ok {
		return nil, false
	}
	return &types.FieldType{
		Type:  t,
		IsSet: func(any) bool { return true },
		GetFrom: func(target any) (any, error) {
			s, ok := target.(*step)
			if !ok {
				return nil, fmt.Errorf("%T is no step", target)
			}
			return s.field(field), nil
		},
	}, true
}

// NewValue refuses to make a step, because expressions only read steps.
func (p provider) NewValue(name string, fields map[string]ref.Val) ref.Val {
	if name == stepType {
		return types.NewErr("a step cannot be made")
	}
	return p.Registry.NewValue(name, fields)
}

// sizes bounds what an expression reads from a request's head. Anything else, above all JSON bodies, is unbounded.
type sizes struct{}

// The largest total size of a head's field values, and the largest number of fields.
const (
	headBytes  = 64 << 10
	headFields = 512
)

func (sizes) EstimateSize(node cost.AstNode) *cost.SizeEstimate {
	path := node.Path()
	if len(path) == 0 || path[0] == stepsName || path[0] == authClaims {
		return nil
	}
	switch node.Type().Kind() {
	case types.StringKind:
		return &cost.SizeEstimate{Max: headBytes}
	case types.MapKind, types.ListKind:
		return &cost.SizeEstimate{Max: headFields}
	default:
		return nil
	}
}

func (sizes) EstimateCallCost(string, string, *cost.AstNode, []cost.AstNode) *cost.CallEstimate {
	return nil
}
