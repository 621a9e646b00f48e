/* Limits of the process (ulimit) under which libraries would hang or crash before main begins. */
#ifndef HM_LIMITS_H
#define HM_LIMITS_H

/* To be called before the libraries are initialised, in .preinit_array. Ends the program with a message when a limit
 * is too low for it to start. Otherwise it starts the program anew when that is needed: with one thread in OpenBLAS,
 * whose first moment waits forever for threads that could not be made, or with a stack as large as is allowed. */
void hm_limits_prepare(int argc, char **argv, char **environment);

#endif
