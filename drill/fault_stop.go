package drill

func stopFaults() []Fault { return nil }
