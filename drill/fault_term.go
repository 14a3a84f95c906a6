package drill

func termFaults() []Fault { return nil }
