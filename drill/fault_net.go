package drill

func netFaults() []Fault { return nil }
