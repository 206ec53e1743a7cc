//! Memory that is free, given back to the system.

/// What glibc keeps of freed memory for the next allocations; other allocators give it back by themselves.
pub fn trim() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        unsafe extern "C" {
            fn malloc_trim(pad: usize) -> std::ffi::c_int;
        }
        // SAFETY: it takes the allocator's own locks and touches free memory only.
        unsafe { malloc_trim(0) };
    }
}
