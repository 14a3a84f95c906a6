package drill

func postgresFaults() []Fault { return nil }
