//! The machine: cpu, memory, disks, filesystems, network, load, processes.
