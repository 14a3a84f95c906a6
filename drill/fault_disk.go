package drill

func diskFaults() []Fault { return nil }
