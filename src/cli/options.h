/* What main needs of the options: the help of a command. Parsing is declared in cli.h. */
#ifndef HM_OPTIONS_H
#define HM_OPTIONS_H

#include "cli/cli.h"

/* Writes usage and options of a command to stdout. */
void hm_print_help(const hm_command *command);

#endif
