package drill

func clientFaults() []Fault { return nil }
