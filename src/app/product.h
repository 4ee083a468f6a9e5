/* product.h - private: how files say that Deft wrote them. */
#ifndef DEFT_APP_PRODUCT_H
#define DEFT_APP_PRODUCT_H

#define DEFT_PICTURE_MARK "<!-- made by deft -->"

#endif
