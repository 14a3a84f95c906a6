package store

import (
	"testing"

	"landfall/cluster"
)

func TestTableSizes(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.exec(`CREATE SCHEMA "Shop"; CREATE TABLE "Shop"."Orders" (id int) PARTITION BY RANGE (id);
		CREATE TABLE few PARTITION OF "Shop"."Orders" FOR VALUES FROM (0) TO (100);
		CREATE TABLE many PARTITION OF "Shop"."Orders" FOR VALUES FROM (100) TO (100000)`)
	c := d.config()
	c.Streams = []cluster.Stream{{Name: "S"}, {Name: "OWN", Table: &cluster.Table{Schema: "Shop", Name: "Orders"}}, {Name: "NONE", Table: &cluster.Table{Schema: "public", Name: "none"}}}
	s := d.open(c, "n1")
	at, err := Inspect(t.Context(), d.url)
	if err != nil {
		t.Fatal(err)
	}
	defer at.Close()
	sizes := func(streams ...string) map[string]TableSize {
		t.Helper()
		found, err := s.TableSizes(t.Context(), streams)
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	found := sizes("S", "OWN", "NONE")
	if got := found["Shop.Orders"]; len(found) != 2 || got != (TableSize{}) || found["public.messages"].Rows != 0 || found["public.messages"].Bytes == 0 {
		t.Errorf("%+v", found)
	}
	d.exec(`INSERT INTO "Shop"."Orders" SELECT generate_series(1, 20000)`)
	got := sizes("OWN")["Shop.Orders"]
	if got.Rows != -1 && got.Rows < 19000 || got.Bytes < 20000*28 { // somebody may have analyzed it already
		t.Errorf("%+v", got)
	}
	d.exec(`ANALYZE`)
	if found, err = at.TableSizes(t.Context(), c); err != nil || len(found) != 2 {
		t.Fatal(found, err)
	}
	if again := found["Shop.Orders"]; again.Rows != 20000 || again.Bytes < got.Bytes {
		t.Errorf("%+v", again)
	}
}
