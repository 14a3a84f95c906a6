package drill

func streamFaults() []Fault { return nil }
