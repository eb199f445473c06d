// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "why.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

const char *why_late(uint32_t timeout_ms, char text[WHY_SIZE])
{
	if (timeout_ms % 1000)
		snprintf(text, WHY_SIZE, "no answer in %u ms", timeout_ms);
	else
		snprintf(text, WHY_SIZE, "no answer in %u s", timeout_ms / 1000);
	return text;
}

const char *why_errno(int error, char text[WHY_SIZE])
{
	snprintf(text, WHY_SIZE, "%s", strerror(error));
	text[0] = tolower((unsigned char)text[0]);
	return text;
}
