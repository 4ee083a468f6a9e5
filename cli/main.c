/* main.c - the deft program. */
int main(void)
{
    return 0;
}
