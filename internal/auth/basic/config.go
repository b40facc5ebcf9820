package basic

import (
	"reflect"

	"github.com/weir-gateway/weir/internal/auth"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/config/doc"
)

// Config is the config of an auth of this kind.
type Config struct {
	Basic Users `doc:"basic,required" help:"users by name, each with a hash or a reference to the password; or the path of a file of name:hash lines" example:"{ ada: \"${env:ADA_HASH}\" }"`

	auth.Common `doc:",inline"`
}

// Users are listed in the config or in a file.
type Users struct {
	Members auth.Members
	File    *config.FileSecret
}

// DecodeDoc reads a map of users, or the path of a file.
func (u *Users) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	if n.Kind == doc.Scalar {
		u.File = &config.FileSecret{}
		u.File.DecodeDoc(n, ps)
		return
	}
	u.Members.DecodeDoc(n, ps)
}

// EncodeDoc writes them in the form in which they are read.
func (u Users) EncodeDoc() *doc.Node {
	if u.File != nil {
		return u.File.EncodeDoc()
	}
	return u.Members.EncodeDoc()
}

// DocSchema implements doc.SchemaWriter.
func (Users) DocSchema() *doc.Schema {
	return &doc.Schema{AnyOf: []*doc.Schema{doc.SchemaOf(reflect.TypeFor[config.FileSecret]()), auth.Members{}.DocSchema()}}
}
