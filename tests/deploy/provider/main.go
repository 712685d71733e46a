// Provider that has the schema of another one, and makes nothing.
//
//	provider FILE    speaks Terraform's plugin protocol; FILE is one provider of tests/deploy/schema.json
//
// It plans and applies by what a schema says: a computed argument is unknown until the apply, an argument that cannot
// be changed replaces its resource, arguments that exclude each other are refused. Beyond that it does what the true
// providers were read to do where a plan depends on it: see `served`, `applied` and `refreshed`.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/big"
	"os"
	"sort"
	"strconv"
	"strings"

	"github.com/hashicorp/terraform-plugin-go/tfprotov5"
	"github.com/hashicorp/terraform-plugin-go/tfprotov5/tf5server"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

// A line of the schema: "string optional computed", "list required max=1", "string optional conflicts=a,b".
type argument struct {
	kind    string
	flags   map[string]bool
	names   map[string][]string
	bounds  map[string]int64
	members map[string]*argument // of a block
}

func (a *argument) UnmarshalJSON(text []byte) error {
	var words string
	if text[0] == '{' {
		var block struct {
			Is      string
			Members map[string]*argument
		}
		if err := json.Unmarshal(text, &block); err != nil {
			return err
		}
		words, a.members = block.Is, block.Members
	} else if err := json.Unmarshal(text, &words); err != nil {
		return err
	}
	a.flags, a.names, a.bounds = map[string]bool{}, map[string][]string{}, map[string]int64{}
	for i, word := range strings.Fields(words) {
		name, value, has := strings.Cut(word, "=")
		if i == 0 {
			a.kind = word
		} else if !has {
			a.flags[word] = true
		} else if number, err := strconv.ParseInt(value, 10, 64); err == nil {
			a.bounds[name] = number
		} else {
			a.names[name] = strings.Split(value, ",")
		}
	}
	return nil
}

func (a *argument) wire() tftypes.Type {
	if a.members != nil {
		inner := object(a.members)
		if a.kind == "set" {
			return tftypes.Set{ElementType: inner}
		}
		return tftypes.List{ElementType: inner}
	}
	of := map[string]tftypes.Type{"string": tftypes.String, "number": tftypes.Number, "bool": tftypes.Bool}
	outer, inner, nested := strings.Cut(strings.TrimSuffix(a.kind, ")"), "(")
	switch {
	case !nested:
		return of[a.kind]
	case outer == "list":
		return tftypes.List{ElementType: of[inner]}
	case outer == "set":
		return tftypes.Set{ElementType: of[inner]}
	}
	return tftypes.Map{ElementType: of[inner]}
}

func object(members map[string]*argument) tftypes.Object {
	types := map[string]tftypes.Type{}
	for name, argument := range members {
		types[name] = argument.wire()
	}
	return tftypes.Object{AttributeTypes: types}
}

// isBlock tells a block from an attribute: what can be both is a block where a module may write it.
func (a *argument) isBlock() bool {
	return a.members != nil && (a.flags["required"] || a.flags["optional"])
}

func block(members map[string]*argument) *tfprotov5.SchemaBlock {
	out := &tfprotov5.SchemaBlock{}
	names := make([]string, 0, len(members))
	for name := range members {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		a := members[name]
		if a.isBlock() {
			nesting := tfprotov5.SchemaNestedBlockNestingModeList
			if a.kind == "set" {
				nesting = tfprotov5.SchemaNestedBlockNestingModeSet
			}
			least := a.bounds["min"]
			if a.flags["required"] && least == 0 {
				least = 1
			}
			out.BlockTypes = append(out.BlockTypes, &tfprotov5.SchemaNestedBlock{
				TypeName: name, Block: block(a.members), Nesting: nesting, MinItems: least, MaxItems: a.bounds["max"],
			})
			continue
		}
		out.Attributes = append(out.Attributes, &tfprotov5.SchemaAttribute{
			Name: name, Type: a.wire(), Required: a.flags["required"], Optional: a.flags["optional"],
			Computed: a.flags["computed"], Sensitive: a.flags["sensitive"],
		})
	}
	return out
}

type server struct {
	tfprotov5.ProviderServer
	Provider map[string]*argument
	Types    map[string]map[string]*argument
	// The project that it works in, of OTC's.
	project string
}

func (s *server) GetMetadata(context.Context, *tfprotov5.GetMetadataRequest) (*tfprotov5.GetMetadataResponse, error) {
	return &tfprotov5.GetMetadataResponse{}, nil
}

func (s *server) GetProviderSchema(
	context.Context, *tfprotov5.GetProviderSchemaRequest,
) (*tfprotov5.GetProviderSchemaResponse, error) {
	out := &tfprotov5.GetProviderSchemaResponse{
		Provider:          &tfprotov5.Schema{Block: block(s.Provider)},
		ResourceSchemas:   map[string]*tfprotov5.Schema{},
		DataSourceSchemas: map[string]*tfprotov5.Schema{},
	}
	for name, members := range s.Types {
		if data, is := strings.CutPrefix(name, "data."); is {
			out.DataSourceSchemas[data] = &tfprotov5.Schema{Block: block(members)}
		} else {
			out.ResourceSchemas[name] = &tfprotov5.Schema{Block: block(members)}
		}
	}
	return out, nil
}

func (s *server) GetResourceIdentitySchemas(
	context.Context, *tfprotov5.GetResourceIdentitySchemasRequest,
) (*tfprotov5.GetResourceIdentitySchemasResponse, error) {
	return &tfprotov5.GetResourceIdentitySchemasResponse{}, nil
}

func (s *server) GetFunctions(context.Context, *tfprotov5.GetFunctionsRequest) (*tfprotov5.GetFunctionsResponse, error) {
	return &tfprotov5.GetFunctionsResponse{}, nil
}

func (s *server) PrepareProviderConfig(
	_ context.Context, request *tfprotov5.PrepareProviderConfigRequest,
) (*tfprotov5.PrepareProviderConfigResponse, error) {
	return &tfprotov5.PrepareProviderConfigResponse{PreparedConfig: request.Config}, nil
}

// ConfigureProvider takes what a configuration leaves out from the environment, as OTC's provider does, and refuses a
// configuration that speaks of two regions.
func (s *server) ConfigureProvider(
	_ context.Context, request *tfprotov5.ConfigureProviderRequest,
) (*tfprotov5.ConfigureProviderResponse, error) {
	out := &tfprotov5.ConfigureProviderResponse{}
	values, err := fields(request.Config, s.Provider)
	if err != nil {
		return nil, err
	}
	config := map[string]string{}
	for name, value := range values {
		text := os.Getenv("OS_" + strings.ToUpper(name))
		if !value.IsNull() && value.IsKnown() {
			if err := value.As(&text); err != nil {
				return nil, err
			}
		}
		config[name] = text
	}
	s.project = config["tenant_name"] + config["tenant_id"]
	if url := config["auth_url"]; !strings.Contains(url, "."+config["region"]+".") && url != "" {
		out.Diagnostics = refusal("region %s, but auth_url %s", config["region"], url)
	}
	return out, nil
}

func (s *server) StopProvider(context.Context, *tfprotov5.StopProviderRequest) (*tfprotov5.StopProviderResponse, error) {
	return &tfprotov5.StopProviderResponse{}, nil
}

func refusal(format string, values ...any) []*tfprotov5.Diagnostic {
	return []*tfprotov5.Diagnostic{{Severity: tfprotov5.DiagnosticSeverityError, Summary: fmt.Sprintf(format, values...)}}
}

// isSet returns true for what a module writes, if only as an unknown value.
func isSet(value tftypes.Value) bool {
	if value.IsNull() {
		return false
	}
	var list []tftypes.Value
	if value.IsKnown() && value.As(&list) == nil {
		return len(list) > 0
	}
	return true
}

func (s *server) ValidateResourceTypeConfig(
	_ context.Context, request *tfprotov5.ValidateResourceTypeConfigRequest,
) (*tfprotov5.ValidateResourceTypeConfigResponse, error) {
	out := &tfprotov5.ValidateResourceTypeConfigResponse{}
	members := s.Types[request.TypeName]
	config, err := fields(request.Config, members)
	if err != nil {
		return nil, err
	}
	among := func(names []string) (count int) {
		for _, name := range names {
			// A path into a block of this one is left to the true provider.
			if value, known := config[name]; known && isSet(value) {
				count++
			}
		}
		return count
	}
	for name, a := range members {
		own := isSet(config[name])
		one := a.names["one_of"]
		if len(one) > 0 && among(append(without(one, name), name)) != 1 {
			out.Diagnostics = append(out.Diagnostics, refusal("%s: exactly one of %s and it", name, one)...)
		}
		if some := a.names["some_of"]; len(some) > 0 && among(some) == 0 {
			out.Diagnostics = append(out.Diagnostics, refusal("%s: at least one of %s", name, some)...)
		}
		if own && among(a.names["conflicts"]) > 0 {
			out.Diagnostics = append(out.Diagnostics, refusal("%s excludes %s", name, a.names["conflicts"])...)
		}
		if with := a.names["with"]; own && among(with) < len(with) {
			out.Diagnostics = append(out.Diagnostics, refusal("%s needs %s", name, with)...)
		}
	}
	return out, nil
}

func without(names []string, name string) (out []string) {
	for _, other := range names {
		if other != name {
			out = append(out, other)
		}
	}
	return out
}

func (s *server) ValidateDataSourceConfig(
	context.Context, *tfprotov5.ValidateDataSourceConfigRequest,
) (*tfprotov5.ValidateDataSourceConfigResponse, error) {
	return &tfprotov5.ValidateDataSourceConfigResponse{}, nil
}

func (s *server) UpgradeResourceState(
	_ context.Context, request *tfprotov5.UpgradeResourceStateRequest,
) (*tfprotov5.UpgradeResourceStateResponse, error) {
	kind := object(s.Types[request.TypeName])
	state, err := request.RawState.Unmarshal(kind)
	if err != nil {
		return nil, err
	}
	wire, err := tfprotov5.NewDynamicValue(kind, state)
	return &tfprotov5.UpgradeResourceStateResponse{UpgradedState: &wire}, err
}

func fields(value *tfprotov5.DynamicValue, members map[string]*argument) (map[string]tftypes.Value, error) {
	read, err := value.Unmarshal(object(members))
	if err != nil || read.IsNull() {
		return nil, err
	}
	out := map[string]tftypes.Value{}
	return out, read.As(&out)
}

func written(values map[string]tftypes.Value, members map[string]*argument) (*tfprotov5.DynamicValue, error) {
	wire, err := tfprotov5.NewDynamicValue(object(members), tftypes.NewValue(object(members), values))
	return &wire, err
}

func (s *server) PlanResourceChange(
	_ context.Context, request *tfprotov5.PlanResourceChangeRequest,
) (*tfprotov5.PlanResourceChangeResponse, error) {
	members := s.Types[request.TypeName]
	out := &tfprotov5.PlanResourceChangeResponse{PlannedState: request.ProposedNewState, UnsafeToUseLegacyTypeSystem: true}
	// "It can not set `tenant_name` in `provider "opentelekomcloud"` when using this resource."
	if isOfDomain := strings.HasPrefix(request.TypeName, "opentelekomcloud_identity_"); isOfDomain == (s.project != "") &&
		strings.HasPrefix(request.TypeName, "opentelekomcloud_") {
		out.Diagnostics = refusal("%s through a provider of the project %q", request.TypeName, s.project)
		return out, nil
	}
	planned, err := fields(request.ProposedNewState, members)
	if planned == nil || err != nil {
		return out, err
	}
	prior, err := fields(request.PriorState, members)
	if err != nil {
		return nil, err
	}
	for name, a := range members {
		switch {
		case prior == nil && a.flags["computed"] && planned[name].IsNull():
			planned[name] = tftypes.NewValue(a.wire(), tftypes.UnknownValue)
		case prior != nil && a.flags["new"] && !planned[name].Equal(prior[name]):
			path := tftypes.NewAttributePath().WithAttributeName(name)
			out.RequiresReplace = append(out.RequiresReplace, path)
		}
	}
	out.PlannedState, err = written(planned, members)
	return out, err
}

// served makes up what a platform answers for an argument that nobody wrote.
func served(name string, a *argument, of string) tftypes.Value {
	kind := a.wire()
	switch {
	case name == "app_id":
		return tftypes.NewValue(kind, "1250000000")
	case a.members != nil:
		inner := map[string]tftypes.Value{}
		for name, a := range a.members {
			inner[name] = served(name, a, of)
		}
		element := tftypes.NewValue(object(a.members), inner)
		return tftypes.NewValue(kind, []tftypes.Value{element})
	case kind.Is(tftypes.String):
		return tftypes.NewValue(kind, name+"-of-"+of)
	case kind.Is(tftypes.Number):
		return tftypes.NewValue(kind, big.NewFloat(0))
	case kind.Is(tftypes.Bool):
		return tftypes.NewValue(kind, false)
	case kind.Is(tftypes.Map{}):
		return tftypes.NewValue(kind, map[string]tftypes.Value{})
	}
	return tftypes.NewValue(kind, []tftypes.Value{})
}

// applied refuses what the true providers refuse at the apply, after the plan.
func applied(prior, planned map[string]tftypes.Value) error {
	if kind, has := planned["func_type"]; has && prior != nil && !kind.Equal(prior["func_type"]) {
		return fmt.Errorf("`func_type` do not support change now")
	}
	var path string
	if zip, has := planned["zip_file"]; has && zip.As(&path) == nil && path != "" {
		_, err := os.Stat(path)
		return err
	}
	return nil
}

func (s *server) ApplyResourceChange(
	_ context.Context, request *tfprotov5.ApplyResourceChangeRequest,
) (*tfprotov5.ApplyResourceChangeResponse, error) {
	members := s.Types[request.TypeName]
	out := &tfprotov5.ApplyResourceChangeResponse{NewState: request.PlannedState, UnsafeToUseLegacyTypeSystem: true}
	planned, err := fields(request.PlannedState, members)
	if planned == nil || err != nil {
		return out, err
	}
	prior, err := fields(request.PriorState, members)
	if err != nil {
		return nil, err
	}
	if err := applied(prior, planned); err != nil {
		out.Diagnostics = refusal("%s: %v", request.TypeName, err)
		out.NewState = request.PriorState
		return out, nil
	}
	for name, value := range planned {
		if !value.IsFullyKnown() {
			planned[name] = served(name, members[name], request.TypeName)
		}
	}
	out.NewState, err = written(planned, members)
	return out, err
}

// refreshed is what FunctionGraph answers for a trigger: its event data, with members that nobody wrote.
func refreshed(values map[string]tftypes.Value) error {
	var text string
	data, has := values["event_data"]
	if !has || data.As(&text) != nil {
		return nil
	}
	members := map[string]any{}
	if err := json.Unmarshal([]byte(text), &members); err != nil {
		return err
	}
	members["api_id"] = "0123456789abcdef"
	completed, err := json.Marshal(members)
	values["event_data"] = tftypes.NewValue(tftypes.String, string(completed))
	return err
}

func (s *server) ReadResource(
	_ context.Context, request *tfprotov5.ReadResourceRequest,
) (*tfprotov5.ReadResourceResponse, error) {
	members := s.Types[request.TypeName]
	values, err := fields(request.CurrentState, members)
	if err != nil {
		return nil, err
	}
	if err := refreshed(values); err != nil {
		return nil, err
	}
	state, err := written(values, members)
	return &tfprotov5.ReadResourceResponse{NewState: state}, err
}

func (s *server) ReadDataSource(
	_ context.Context, request *tfprotov5.ReadDataSourceRequest,
) (*tfprotov5.ReadDataSourceResponse, error) {
	members := s.Types["data."+request.TypeName]
	values, err := fields(request.Config, members)
	if err != nil {
		return nil, err
	}
	for name, a := range members {
		if values[name].IsNull() && a.flags["computed"] {
			values[name] = served(name, a, request.TypeName)
		}
	}
	state, err := written(values, members)
	return &tfprotov5.ReadDataSourceResponse{State: state}, err
}

func main() {
	text, err := os.ReadFile(os.Args[1])
	if err != nil {
		panic(err)
	}
	schema := &server{}
	if err := json.Unmarshal(text, schema); err != nil {
		panic(err)
	}
	name := "registry.opentofu.org/example/example"
	if err := tf5server.Serve(name, func() tfprotov5.ProviderServer { return schema }); err != nil {
		panic(err)
	}
}
