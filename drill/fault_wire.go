package drill

func wireFaults() []Fault { return nil }
