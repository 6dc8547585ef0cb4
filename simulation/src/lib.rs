//! All services' pure cores in virtual time, with faults.
