// Package faults lets one thing go wrong in the service while small programs work on a mount: each request that a
// workload makes meets each fault that can strike it. Either nobody notices, or the program gets an error number
// that says what it is, and no byte that it had handed over is lost.
package faults
