package config_test

import (
	"os"
	"testing"

	"github.com/weir-gateway/weir/internal/config"
)

func TestX(t *testing.T) {
	data, _ := os.ReadFile("testdata/good/shop.yaml")
	r := config.Load([]config.Source{{Path: "weir.yaml", Data: data}}, vocabulary())
	for _, p := range r.Problems {
		t.Error(p)
	}
	if r.Config != nil {
		for _, x := range r.Config.Routes {
			t.Logf("%+v", x)
		}
	}
}
