package drill

// Gate lets publishers through, or holds them still between two messages.
type Gate struct{}
